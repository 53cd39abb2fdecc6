#!/bin/bash
# start.sh DIR: process 1 of the cluster's namespaces. Runs the control plane and node 1 here and the other nodes
# in network and mount namespaces of their own; returns never. DIR/ready appears when everything is.
. "$(dirname "$0")/lib.sh" "$1"
# /proc is still the machine's: this is the process id that `nsenter` needs from outside.
read -r outside _ < /proc/self/stat
echo "$outside" > "$DIR/init.pid"
mount -t proc proc /proc
mkdir -p "$LOG" "$DIR/pid"

finish() { say "ready"; touch "$DIR/ready"; while :; do sleep infinity & wait $! || true; done; }

if [ "$NODES" = 0 ]; then
  ip link set lo up
  say "making certificates"
  bash "$SCRIPTS/pki.sh" "$PKI" 0
  bash "$SCRIPTS/control-plane.sh" "$DIR"
  finish
fi

bash "$SCRIPTS/node.sh" "$DIR" 1 prepare
ip link add br-node type bridge
ip addr add 10.90.0.1/24 dev br-node
ip link set br-node up

# join PID NAME: connects the network namespace of PID to the nodes' bridge, as its eth0
join() {
  until [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
  ip link add "$2" type veth peer name eth0 netns "$1"
  ip link set "$2" master br-node up
}
unshare --net bash "$SCRIPTS/outside.sh" "$DIR" > "$LOG/outside.log" 2>&1 &
join $! v-outside
# Without a default route, a node's own connections to Services would fail before kube-proxy's rules see them.
ip route add default via 10.90.0.254

say "making certificates"
bash "$SCRIPTS/pki.sh" "$PKI" "$NODES"
say "starting $NODES node$([ "$NODES" = 1 ] || echo s) and the control plane"
bash "$SCRIPTS/node.sh" "$DIR" 1 runtime & runtime=$!
for i in $(seq 2 "$NODES"); do
  unshare --net --mount --propagation slave bash "$SCRIPTS/node.sh" "$DIR" "$i" all > "$LOG/n$i.log" 2>&1 &
  echo $! > "$DIR/n$i.pid"
  join $! "v-n$i"
  ip route add "10.244.$((i - 1)).0/24" via "10.90.0.$i"
done
BIND=0.0.0.0 ADVERTISE=10.90.0.1 bash "$SCRIPTS/control-plane.sh" "$DIR"
kubectl apply -f "$SCRIPTS/base.yaml" > /dev/null
kubectl -n kube-system create configmap enforcer --from-literal="deny=$DENY" --from-literal="strict=$STRICT" > /dev/null
touch "$DIR/api-ready"
wait $runtime
say "registering the nodes"
bash "$SCRIPTS/node.sh" "$DIR" 1 kubelet
for i in $(seq "$NODES"); do await "registration of n$i" 30 kubectl get node "n$i"; done
kubectl wait --for=condition=Ready node --all --timeout=60s > /dev/null
say "waiting for cluster DNS"
kubectl -n kube-system rollout status deployment/coredns --timeout=60s > /dev/null
for i in $(seq "$NODES"); do await "policy enforcer of n$i" 30 test -e "$DIR/n$i/enforcer.applied"; done
finish
