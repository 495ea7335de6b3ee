#!/usr/bin/env bash
# Tests the hooks of the packs where they run: inside the woven packages. Arguments go to `go test`.
set -uo pipefail
cd "$(dirname "$0")/.."
export TANDEM_CACHE=${TANDEM_CACHE:-$PWD/target/hooks-test}
unset TANDEM_SOCKET OTEL_SDK_DISABLED OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG
code=0
for pack in packs/* examples/packs/*; do
    "${TANDEM:-$PWD/target/debug/tandem}" packs test "$pack" "$@" || code=1
done
exit $code
