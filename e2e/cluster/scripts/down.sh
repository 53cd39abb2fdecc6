#!/bin/bash
# down.sh DIR NAME: ends everything that belongs to the cluster and removes what it left, in whatever state it is.
# Mounts, network namespaces and interfaces go with the last process in them.
set -euo pipefail
DIR=$1 NAME=$2
shopt -s nullglob
cgroups() { local c; for c in /sys/fs/cgroup/"$NAME"{,-n?} /sys/fs/cgroup/*/"$NAME"{,-n?}; do [ ! -d "$c" ] || echo "$c"; done; }
# A cgroup that vanishes while it is read, and none left, are no failures: the list decides, not the exit code.
processes() { local c; for c in $(cgroups); do find "$c" -name cgroup.procs -exec cat {} + 2> /dev/null; done | grep -vx -e 0 -e $$ | sort -u || true; }
end=$(( SECONDS + 20 ))
while pids=$(processes); [ -n "$pids" ]; do
  # shellcheck disable=SC2086
  kill -KILL $pids 2> /dev/null || true
  [ $SECONDS -lt $end ] || { echo "these processes do not end: $(echo $pids)" >&2; exit 1; }
  sleep 0.02
done
for c in $(cgroups); do
  until find "$c" -depth -type d -exec rmdir {} + 2> /dev/null || [ ! -d "$c" ]; do
    [ $SECONDS -lt $end ] || { echo "cannot remove the cgroup $c" >&2; exit 1; }
    sleep 0.02
  done
done
rm -rf "$DIR"
# The folder above is ours when nothing else is in it.
case $DIR in */peerwalk/*) rmdir "$(dirname "$DIR")" 2> /dev/null || true;; esac
