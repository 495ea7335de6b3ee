#!/usr/bin/env bash
# Compares programs and libraries, plain and woven: compat/run.sh TANDEM [-table] [NAME…]. README.md says what is compared.
set -euo pipefail
tandem=$(realpath -s -- "${1:?the tandem binary}")
[ -x "$tandem" ] || { echo "compat: $1 is no program: say which tandem, for example target/release/tandem" >&2; exit 2; }
shift
cd "$(dirname "$0")"
mkdir -p work
(cd runner && go build -o ../work/runner .)
exec work/runner -folder . -tandem "$tandem" "$@"
