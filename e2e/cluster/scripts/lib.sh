# What every script here starts with: `. lib.sh DIR`. DIR/env says what the cluster is made of (see ../src/launch.rs).
set -euo pipefail
DIR=$1
. "$DIR/env" # BIN, NAME, NODES, MINIMAL
SCRIPTS=$DIR/scripts PKI=$DIR/pki LOG=$DIR/log
export PATH=$BIN:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
CGROUPS=/sys/fs/cgroup

# Progress is a file that the program outside reads line by line.
say() { echo "$*" >> "$DIR/progress"; }

# start NAME PROGRAM...: in the background, with a log of its own
start() {
  local name=$1; shift
  "$@" > "$LOG/$name.log" 2>&1 &
  echo $! > "$DIR/pid/$name"
}

# await WHAT SECONDS COMMAND...: until it succeeds; the logs' last lines when it does not
await() {
  local what=$1 end=$(( SECONDS + $2 )); shift 2
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "not ready in time: $what" >&2; tail -n 5 "$LOG"/*.log >&2; exit 1; }
    sleep 0.1
  done
}

kubectl() { "$BIN/kubectl" --kubeconfig "$PKI/admin.kubeconfig" "$@"; }

# The cgroup hierarchy that tells the cluster's processes: the only one of cgroup v2, or `pids` of v1.
hierarchy() { if [ -e $CGROUPS/cgroup.controllers ]; then echo $CGROUPS; else echo $CGROUPS/pids; fi; }
