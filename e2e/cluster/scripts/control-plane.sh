#!/bin/bash
# control-plane.sh DIR: etcd and kube-apiserver, and unless MINIMAL the controllers and the scheduler, in this
# network namespace; returns when they are ready. BIND and ADVERTISE are addresses, loopback by default.
. "$(dirname "$0")/lib.sh" "$1"
mkdir -m 700 -p "$DIR/etcd"
start etcd "$BIN/etcd" --name peerwalk --data-dir "$DIR/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster peerwalk=http://127.0.0.1:2380
cat > "$DIR/authentication.yaml" <<K
apiVersion: apiserver.config.k8s.io/$([ "$MINIMAL" = 1 ] && echo v1beta1 || echo v1)
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
K
say "starting etcd"
await etcd 20 bash -c '</dev/tcp/127.0.0.1/2379'
say "starting kube-apiserver"
# The endpoint of the `kubernetes` Service must not be a loopback address, so nodes need ADVERTISE.
start kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
  --bind-address="${BIND:-127.0.0.1}" --advertise-address="${ADVERTISE:-127.0.0.1}" --secure-port=6443 \
  --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
  --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" \
  --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/sa.pub" \
  --service-account-signing-key-file="$PKI/sa.key" --service-cluster-ip-range=10.96.0.0/16 \
  --authorization-mode=Node,RBAC --authentication-config="$DIR/authentication.yaml" \
  --enable-admission-plugins=NodeRestriction --allow-privileged=true --profiling=false --endpoint-reconciler-type=lease \
  --audit-policy-file="$SCRIPTS/audit.yaml" --audit-log-path="$LOG/audit.json"
await kube-apiserver 90 kubectl get --raw /readyz
if [ "$MINIMAL" = 1 ]; then
  # Nobody here makes default ServiceAccounts, and Pods are refused without.
  kubectl -n default create serviceaccount default > /dev/null
  exit 0
fi
# The default rates of requests would double the time to get ready.
say "starting kube-controller-manager and kube-scheduler"
start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$PKI/controllers.kubeconfig" --bind-address=127.0.0.1 \
  --leader-elect=false --use-service-account-credentials=true --kube-api-qps=500 --kube-api-burst=1000 \
  --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
  --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
  --allocate-node-cidrs=false --service-cluster-ip-range=10.96.0.0/16 --node-cidr-mask-size=24 --profiling=false
start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.kubeconfig" --bind-address=127.0.0.1 \
  --leader-elect=false --profiling=false --kube-api-qps=500 --kube-api-burst=1000
await "default ServiceAccount" 60 kubectl get serviceaccount -n default default
