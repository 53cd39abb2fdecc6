#!/bin/bash
# pki.sh FOLDER NODES: authority, certificates and kubeconfigs (ECDSA P-256; they last as long as a cluster may)
set -euo pipefail
mkdir -p "$1" && cd "$1"
key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1.key" 2> /dev/null; }

# certificate NAME SUBJECT USAGE [ALTERNATIVE NAMES]
certificate() {
  key "$1"
  { echo "basicConstraints=CA:FALSE"; echo "keyUsage=digitalSignature"; echo "extendedKeyUsage=$3"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"; } > "$1.ext"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr" 2> /dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 12)" -days 30 -sha256 \
    -extfile "$1.ext" -out "$1.crt" 2> /dev/null
  rm "$1.csr" "$1.ext"
}

# kubeconfig NAME [SERVER]: with the certificates inside, so that the file can be used from anywhere
kubeconfig() {
  cat > "$1.kubeconfig" <<K
apiVersion: v1
kind: Config
current-context: peerwalk
contexts: [{name: peerwalk, context: {cluster: peerwalk, user: $1}}]
clusters: [{name: peerwalk, cluster: {server: "${2:-https://10.90.0.1:6443}", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
K
}

umask 077
key ca
openssl req -x509 -new -key ca.key -sha256 -days 30 -subj /CN=peerwalk-cluster -out ca.crt \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
certificate apiserver /CN=kube-apiserver serverAuth "IP:127.0.0.1,IP:10.90.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,\
DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
certificate kubelet-client /O=peerwalk:kubelet-api/CN=kube-apiserver clientAuth
local_api=https://127.0.0.1:6443
certificate admin /O=system:masters/CN=admin clientAuth; kubeconfig admin $local_api
certificate controllers /CN=system:kube-controller-manager clientAuth; kubeconfig controllers $local_api
certificate scheduler /CN=system:kube-scheduler clientAuth; kubeconfig scheduler $local_api
if [ "$2" -gt 0 ]; then
  certificate proxy /CN=system:kube-proxy clientAuth; kubeconfig proxy
  certificate enforcer /CN=peerwalk:enforcer clientAuth; kubeconfig enforcer
fi
for i in $(seq "$2"); do
  certificate "n$i" "/O=system:nodes/CN=system:node:n$i" serverAuth,clientAuth "DNS:n$i,IP:10.90.0.$i"
  kubeconfig "n$i"
done
openssl genrsa -out sa.key 2048 2> /dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2> /dev/null
