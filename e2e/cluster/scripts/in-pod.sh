#!/bin/bash
# in-pod.sh ADDRESS PROGRAM...: in the network namespace of the pod with that address, on this node
set -euo pipefail
address=$1; shift
for n in /run/netns/*; do
  if ip -n "$(basename "$n")" -4 -o address show 2> /dev/null | grep -qF " $address/"; then exec nsenter --net="$n" "$@"; fi
done
echo "no pod on this node has the address $address" >&2
exit 1
