#!/bin/sh
# Tests the runtime package inside a woven GOROOT, the only place where it can run. Arguments go to `go test`.
#
#   go/rt/test.sh                         # the tests
#   go/rt/test.sh -race -count=2
#   go/rt/test.sh -run '^$' -bench . -cpu 1
#   PACKAGE=tandem/standalone go/rt/test.sh
#   PACKAGE=net/http go/rt/test.sh -short # a woven package's own tests, and those of the hooks that were added to it
#
# TANDEM is the command to weave with (default target/debug/tandem); GOTOOLCHAIN chooses another Go version.
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/../.." && pwd)
tandem=${TANDEM:-$root/target/debug/tandem}
package=${PACKAGE:-tandem/rt}
export TANDEM_CACHE="${TANDEM_CACHE:-$root/target/rt-test}"
unset TANDEM_SOCKET OTEL_SDK_DISABLED OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG OTEL_EXPORTER_OTLP_ENDPOINT
work=$(mktemp -d)
trap 'rm -rf "$work"; leave' EXIT
trap 'exit 130' INT TERM
# The tree is the cache's: it is left as it was.
leave() { if [ -e "$work.added" ]; then xargs -r -d '\n' rm -f <"$work.added"; rm -f "$work.added"; fi; }

# A woven build of an empty program makes the shadow GOROOT; the tools that go starts for it see where it is.
printf 'module empty\n\ngo 1.21\n' >"$work/go.mod"
printf 'package main\n\nfunc main() {}\n' >"$work/main.go"
# The tests of rt import what imports context, which cannot import rt then.
if [ "$package" = tandem/rt ]; then printf 'disable: [context]\n' >"$work/tandem.yaml"; fi
printf '#!/bin/sh\nprintf %%s "$GOROOT" >"%s/goroot"\nexec "$@"\n' "$work" >"$work/toolexec"
chmod +x "$work/toolexec"
(cd "$work" && "$tandem" go build -toolexec "$work/toolexec" -o empty .)
shadow=$(cat "$work/goroot")

# The weave leaves tests out: add them, under names that the package's own tests do not have.
added() {
	case $1 in
	"$root"/go/rt/*) [ "$package" = tandem/rt ] ;;
	"$root"/go/standalone/*) [ "$package" = tandem/standalone ] ;;
	"$root"/go/lib/*) [ "$package" = "tandem/$(basename "$(dirname "$1")")" ] ;;
	*/context/hooks/*) [ "$package" = context ] ;;
	*/net-http/*) [ "$package" = net/http ] ;;
	*/log-slog/*) [ "$package" = log/slog ] ;;
	*/database-sql/*) [ "$package" = database/sql ] ;;
	*) false ;;
	esac
}
for test in "$root"/go/rt/*_test.go "$root"/go/standalone/*_test.go "$root"/go/lib/*/*_test.go "$root"/packs/*/hooks/*_test.go; do
	if [ -e "$test" ] && added "$test"; then cp "$test" "$shadow/src/$package/"; echo "$shadow/src/$package/${test##*/}" >>"$work.added"; fi
done
cd "$shadow/src" # the standard library is a module of its own, with the GODEBUG settings that go with it
GOROOT=$shadow GOTOOLCHAIN=local "$shadow/bin/go" test -count=1 "$@" "$package"
