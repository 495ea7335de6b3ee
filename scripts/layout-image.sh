#!/usr/bin/env bash
# Keeps the memory of a program woven by a tandem, for the test that today's reader understands it (docs/record.md, Versions).
#
#   scripts/layout-image.sh TANDEM SOURCE NAME
#
# SOURCE is the tree that TANDEM was built from: its tests/programs/steps is woven. NAME is what the image is called, in
# crates/record/tests/images. The program takes steps 1 and 2, fails step 3, and is in the middle of step 4.
set -euo pipefail
tandem=$(realpath "${1:?a tandem}") source=$(realpath "${2:?its source}") name=${3:?a name}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
program=
trap '[ -z "$program" ] || kill "$program" 2>/dev/null || true; rm -rf "$work"' EXIT
cp -r "$source/tests/programs" "$work/programs"
TANDEM_CACHE=$work/cache "$tandem" go -C "$work/programs" build -trimpath -o "$work/steps" ./steps
mkfifo "$work/input"
env -i PATH="$PATH" GOMAXPROCS=2 OTEL_SERVICE_NAME=kept OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=past \
    TANDEM_SOCKET="$work/nobody" "$work/steps" "$work/account" <"$work/input" >"$work/output" &
program=$!
exec 9>"$work/input"
until address=$(sed -n 's/.*address //p' "$work/output" | grep .); do sleep 0.05; done
ask() { exec 8<>"/dev/tcp/${address%:*}/${address##*:}"; printf 'GET %s HTTP/1.1\r\nHost: kept\r\nConnection: close\r\n\r\n' "$1" >&8; }
for what in '/step?n=1' '/step?n=2' '/fail?n=3'; do ask "$what"; cat <&8 >"$work/answer"; done
ask '/hang?n=4'
until grep -q 'began 4' "$work/account"; do sleep 0.05; done
memory=$(for fd in /proc/$program/fd/*; do [ "$(readlink "$fd")" != '/memfd:tandem (deleted)' ] || echo "$fd"; done | head -1)
[ -n "$memory" ] || { echo "layout-image: the program has no memory" >&2; exit 1; }
mkdir -p crates/record/tests/images
cargo run --quiet --package record --features writer --bin record-image -- "$memory" "crates/record/tests/images/$name.image"
ls -l "crates/record/tests/images/$name.image"
