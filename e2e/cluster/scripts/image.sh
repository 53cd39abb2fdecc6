#!/bin/bash
# images.sh ARCHIVE NAME BINARY USER [COMMAND-JSON]: an OCI archive of an image FROM scratch with one static binary
set -euo pipefail
archive=$1 name=$2 binary=$3 user=$4 command=${5:-[]}
program=$(basename "$binary")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
cp "$binary" "$work/context/$program"
chmod 755 "$work/context/$program"
printf 'FROM scratch\nCOPY %s /%s\nUSER %s\nENTRYPOINT ["/%s"]\nCMD %s\n' "$program" "$program" "$user" "$program" "$command" > "$work/context/Containerfile"
# A store of its own: nothing is left in the machine's.
buildah() { command buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"; }
buildah build --quiet --isolation chroot --tag "$name" "$work/context" > /dev/null
buildah push --quiet "$name" "oci-archive:$archive.partial:$name"
mv "$archive.partial" "$archive"
