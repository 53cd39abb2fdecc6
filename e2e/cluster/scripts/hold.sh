#!/bin/bash
# hold.sh DIR SECONDS: outermost process of a cluster. It outlives the command that started it, ends the cluster
# after SECONDS, and cleans up when the cluster ended for whatever reason but `down`, which ends this one too.
. "$(dirname "$0")/lib.sh" "$1"
# Everything the cluster starts inherits this cgroup (containers have the nodes'), so nothing can hide from `down`.
mkdir -p "$(hierarchy)/$NAME"
echo $$ > "$(hierarchy)/$NAME/cgroup.procs"
timeout -s KILL "$2" unshare --net --mount --pid --fork --kill-child --propagation slave bash "$SCRIPTS/start.sh" "$DIR" || true
[ -e "$DIR/ready" ] || exit 1 # it never came up: `up` wants the logs
echo $$ > "$(hierarchy)/cgroup.procs"
exec bash "$SCRIPTS/down.sh" "$DIR" "$NAME"
