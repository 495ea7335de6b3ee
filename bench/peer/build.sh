#!/usr/bin/env bash
# Builds opentelemetry-go-instrumentation from its published module and prints the path of its command: bench/peer/build.sh.
#
# `go install` does not: the module's replace line names a folder that is not published, and so are its eBPF objects. So a copy of its
# source is made under target/tools, the objects are compiled as its own Dockerfile does, and the copy is built. What is there is not built again.
set -euo pipefail
cd "$(dirname "$0")"
export GOWORK=off GOFLAGS=-mod=readonly
module=go.opentelemetry.io/auto

fail() { printf 'peer: %s\n' "$*" >&2; exit 1; }

version=$(awk -v module=$module '$1 == module { print $2 }' go.mod)
tools=${CARGO_TARGET_DIR:-$PWD/../../target}/tools
mkdir -p "$tools"
source=$(realpath "$tools")/opentelemetry-go-instrumentation-$version
command=$source/otel-go-instrumentation
if [ -x "$command" ]; then echo "$command"; exit; fi

clang=${CLANG:-}
for name in clang clang-{30..12}; do
    [ -n "$clang" ] || clang=$(command -v "$name" || true)
done
[ -n "$clang" ] || fail "no clang, which compiles its eBPF programs (Debian, Ubuntu: apt install clang), or set CLANG to its path"

# The go command compares what it downloads with go.sum.
downloaded=$(go mod download -json $module) || fail "$module $version cannot be downloaded: $downloaded"
published=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$downloaded")
rm -rf "$source"
cp -r "$published" "$source"
chmod -R u+w "$source"
cat go.sum >>"$source/go.sum"
cd "$source"
go mod edit -dropreplace $module/sdk
# Stripping only takes debugging information away, and has to be by a program of clang's version.
BPF2GO_CC=$clang BPF2GO_STRIP=true BPF2GO_CFLAGS="-I$source/internal/include/libbpf -I$source/internal/include" \
    go generate ./internal/pkg/instrumentation/bpf/... >generate.log 2>&1 || fail "its eBPF programs do not compile: $source/generate.log"
CGO_ENABLED=0 go build -buildvcs=false -o unfinished ./cli || fail "it does not compile"
mv unfinished "$command"
echo "$command"
