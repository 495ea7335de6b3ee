#!/usr/bin/env bash
# Tests the hooks of the packs where they run: inside the woven packages. Arguments go to `go test`.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export TANDEM=${TANDEM:-$root/target/debug/tandem} TANDEM_CACHE=${TANDEM_CACHE:-$root/target/hooks-test}
code=0

# names PACK: a pattern of the hooks' own tests. Those of the packages themselves belong to their authors.
names() { sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' packs/"$1"/hooks/*_test.go 2>/dev/null | paste -sd '|'; }

for pair in net-http:net/http database-sql:database/sql log-slog:log/slog; do
    tests=$(names "${pair%%:*}")
    [ -z "$tests" ] || PACKAGE=${pair#*:} go/rt/test.sh -run "^($tests)\$" "$@" || code=1
done

# Third-party modules: the woven copy is in the cache; the tests go into the package that their package clause names.
for triple in grpc:grpc:. grpc:transport:internal/transport; do
    IFS=: read -r pack package folder <<<"$triple"
    tests=$(names "$pack")
    [ -n "$tests" ] || continue
    (cd "packs/$pack/program" && "$TANDEM" go build -o /dev/null .) || { code=1; continue; }
    module=$(cd "packs/$pack/program" && go list -m -f '{{.Path}}' google.golang.org/grpc)
    copied=0
    for copy in "$TANDEM_CACHE"/module/*/*@*; do
        grep -q "^module $module\$" "$copy/go.mod" || continue
        for test in $(grep -l "^package $package\$" packs/"$pack"/hooks/*_test.go); do
            cp "$test" "$copy/$folder/" && copied=$((copied + 1))
        done
    done
    [ "$copied" != 0 ] || { echo "no woven copy of $module in $TANDEM_CACHE"; code=1; continue; }
    (cd "packs/$pack/program" && "$TANDEM" go test -run "^($tests)\$" "$@" "$module${folder:+/$folder}") || code=1
done
exit $code
