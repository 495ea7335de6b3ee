#!/usr/bin/env bash
# Tests the hooks of the packs for the standard library where they run: inside the woven packages. Arguments go to `go test`.
set -uo pipefail
cd "$(dirname "$0")/.."
code=0
for pair in net-http:net/http database-sql:database/sql log-slog:log/slog; do
    # Only the hooks' own tests: those of the packages themselves belong to Go.
    names=$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' packs/"${pair%%:*}"/hooks/*_test.go 2>/dev/null | paste -sd '|')
    [ -z "$names" ] || PACKAGE=${pair#*:} go/rt/test.sh -run "^($names)\$" "$@" || code=1
done
exit $code
