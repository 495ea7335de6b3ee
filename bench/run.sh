#!/usr/bin/env bash
# Runs the benchmark: bench/run.sh TANDEM [--quick] [PART…]. README.md says what is measured and how.
set -euo pipefail
tandem=$(realpath -s -- "${1:?the tandem binary}")
[ -x "$tandem" ] || { echo "bench: $1 is no program: say which tandem, for example target/release/tandem" >&2; exit 2; }
shift
quick=()
if [ "${1:-}" = --quick ]; then quick=(-quick); shift; fi
cd "$(dirname "$0")"
mkdir -p raw/bin
# The programs switch themselves between modes through the shared memory: its layout comes from the one place that has it.
sed 's/^package rt$/package control/' ../go/rt/layout.go >programs/control/layout.go
(cd harness && go build -o ../raw/bin/harness .)
exec raw/bin/harness -folder . -tandem "$tandem" "${quick[@]}" "$@"
