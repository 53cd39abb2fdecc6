#!/bin/bash
# node.sh DIR I PHASE: one node, in the network and mount namespaces this is started in.
#   prepare  private mounts and sysctls    runtime  containerd with its images
#   kubelet  kubelet, kube-proxy, policy enforcer    all  everything for a node beside the first; returns never
. "$(dirname "$0")/lib.sh" "$1"
I=$2 NODE=n$2 ADDRESS=10.90.0.$2 PODS=10.244.$(( $2 - 1 )).0/24
N=$DIR/$NODE
CONTAINERD=/run/containerd/containerd.sock

# hide PATH: an empty folder over it, with the cluster's own folder still in place if it is below
hide() {
  mount --bind "$DIR" /mnt
  mount -t tmpfs -o mode=755 tmpfs "$1"
  case $DIR/ in "$1"/*) mkdir -p "$DIR"; mount --bind /mnt "$DIR";; esac
  umount /mnt
}

prepare() {
  ip link set lo up
  sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  # /run has sockets, network namespaces and locks at fixed paths, /var/lib kubelet's and CNI's folders. In private
  # ones two nodes do not meet, and nothing is left on the machine.
  hide /run
  mkdir -p /run/lock /run/netns /run/containerd /run/sysctl
  hide /var/lib
  mkdir -p "$N"/{kubelet,cni/cache,cni/net.d,containerd,log} /var/lib/kubelet /var/lib/cni
  mount --bind "$N/kubelet" /var/lib/kubelet
  mount --make-shared /var/lib/kubelet # volumes mounted by kubelet have to reach containers
  mount --bind "$N/cni/cache" /var/lib/cni
  mount --bind "$N/log" /var/log # /var/log/containers and /var/log/pods
  # Kubelet sets these and they are the machine's, not a namespace's: it gets plain files that have what it wants.
  local f value
  for f in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys= kernel/keys/root_maxbytes=; do
    value=${f#*=} f=${f%=*}
    echo "${value:-$(cat /proc/sys/$f)}" > "/run/sysctl/${f//\//_}"
    mount --bind "/run/sysctl/${f//\//_}" "/proc/sys/$f"
  done
}

runtime() {
  cat > "$N/containerd.toml" <<K
version = 2
root = "$N/containerd"
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$CONTAINERD"
[plugins."io.containerd.internal.v1.opt"]
  path = "$N/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "peerwalk.dev/pause:dev"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$N/cni/net.d"
K
  # ptp and not bridge: every packet between pods is routed, so the enforcer's forward hook sees it.
  cat > "$N/cni/net.d/10-pods.conflist" <<K
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
 {"type": "ptp", "ipMasq": false, "mtu": 1500,
  "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
K
  start "containerd-$NODE" containerd -c "$N/containerd.toml"
  await "containerd of $NODE" 30 ctr -a $CONTAINERD version
  local archive
  for archive in "$DIR"/images/*.tar; do ctr -a $CONTAINERD -n k8s.io images import "$archive" >> "$LOG/import-$NODE.log" 2>&1; done
}

# The cgroup below which kubelet puts pods, in whatever hierarchies the machine has.
node_cgroups() {
  local c controller
  if [ -e $CGROUPS/cgroup.controllers ]; then
    mkdir -p "$CGROUPS/$NAME-$NODE"
    for controller in cpuset cpu io memory pids; do
      echo "+$controller" > $CGROUPS/cgroup.subtree_control || true
      echo "+$controller" > "$CGROUPS/$NAME-$NODE/cgroup.subtree_control" || true
    done
    return
  fi
  for c in cpu cpuacct cpuset memory pids blkio devices freezer systemd; do
    [ ! -e $CGROUPS/$c/cgroup.procs ] || mkdir -p "$CGROUPS/$c/$NAME-$NODE"
  done
  for c in cpus mems; do cat "$CGROUPS/cpuset/cpuset.$c" > "$CGROUPS/cpuset/$NAME-$NODE/cpuset.$c"; done # empty: no process could enter
}

kubelet() {
  cat > "$N/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ADDRESS
port: 10250
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true, cacheTTL: 10s}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 10s, cacheUnauthorizedTTL: 2s}}
tlsCertFile: $PKI/$NODE.crt
tlsPrivateKeyFile: $PKI/$NODE.key
containerRuntimeEndpoint: unix://$CONTAINERD
cgroupDriver: cgroupfs
cgroupRoot: /$NAME-$NODE
cgroupsPerQOS: true
enforceNodeAllocatable: []
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
protectKernelDefaults: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
podLogsDir: /var/log/pods
staticPodPath: ""
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
imageMinimumGCAge: 240h
evictionHard: {memory.available: "1Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
kubeAPIQPS: 200
kubeAPIBurst: 400
fileCheckFrequency: 20s
syncFrequency: 10s
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 10s
nodeLeaseDurationSeconds: 20
serializeImagePulls: true
registerNode: true
rotateCertificates: false
maxPods: 100
shutdownGracePeriod: 0s
K
  cat > "$N/proxy.yaml" <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: $ADDRESS
hostnameOverride: $NODE
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {kubeconfig: $PKI/proxy.kubeconfig}
clusterCIDR: 10.244.0.0/16
mode: nftables
oomScoreAdj: 0
# Zero leaves the machine's conntrack settings alone.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 0s, syncPeriod: 30s, masqueradeAll: false}
detectLocalMode: ClusterCIDR
K
  node_cgroups
  start "kubelet-$NODE" "$BIN/kubelet" --config="$N/kubelet.yaml" --kubeconfig="$PKI/$NODE.kubeconfig" --hostname-override="$NODE" \
    --node-ip="$ADDRESS" --root-dir=/var/lib/kubelet
  # kube-proxy started before its Node exists would wait for 30 s.
  await "registration of $NODE" 30 "$BIN/kubectl" --kubeconfig "$PKI/$NODE.kubeconfig" get node "$NODE"
  kubectl --server https://10.90.0.1:6443 patch node "$NODE" -p "{\"spec\":{\"podCIDR\":\"$PODS\",\"podCIDRs\":[\"$PODS\"]}}" > /dev/null
  start "kube-proxy-$NODE" "$BIN/kube-proxy" --config="$N/proxy.yaml"
  start "enforcer-$NODE" "$BIN/enforcer" -kubeconfig "$PKI/enforcer.kubeconfig" -node "$NODE" -pod-range "$PODS" -applied "$N/enforcer.applied"
}

all() {
  prepare
  until ip link show eth0 > /dev/null 2>&1; do sleep 0.02; done
  ip addr add "$ADDRESS/24" dev eth0
  ip link set eth0 up
  ip route add default via 10.90.0.254
  local j
  for j in $(seq "$NODES"); do [ "$j" = "$I" ] || ip route add "10.244.$((j - 1)).0/24" via "10.90.0.$j"; done
  runtime
  until [ -e "$DIR/api-ready" ]; do sleep 0.1; done
  kubelet
  while :; do sleep infinity & wait $! || true; done
}

"$3"
