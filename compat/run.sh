#!/usr/bin/env bash
# Compares programs and libraries, plain and woven: compat/run.sh TANDEM [-table] [NAME…]. README.md says what is compared.
set -euo pipefail
tandem=$(realpath -s "${1:?the tandem binary}")
shift
cd "$(dirname "$0")"
mkdir -p work
(cd runner && go build -o ../work/runner .)
exec work/runner -folder . -tandem "$tandem" "$@"
