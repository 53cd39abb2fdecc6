#!/bin/bash
# outside.sh DIR: a host outside the cluster, in the network namespace this is started in. It is the nodes' default
# gateway and forwards nothing (silence), and it answers on 198.51.100.10: tcp/8080 (HTTP), udp/8081.
. "$(dirname "$0")/lib.sh" "$1"
until ip link show eth0 > /dev/null 2>&1; do sleep 0.02; done
ip link set lo up
ip addr add 10.90.0.254/24 dev eth0
ip link set eth0 up
ip addr add 198.51.100.10/32 dev lo
sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.rp_filter=0
# A wildcard UDP socket of a host with several addresses answers from the route's source.
for i in $(seq "$NODES"); do ip route add "10.244.$((i - 1)).0/24" via "10.90.0.$i" src 198.51.100.10; done
exec "$BIN/testbed" serve
