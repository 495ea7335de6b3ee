#!/usr/bin/env bash
# What `make dist` made, as those who get it use it: the binary where there is nothing but a kernel and Go, the package in a
# root of its own, an agent of another build in between, checksums and their signature. Needs root. Ends with a line of
# passed, failed and skipped.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
dist=$PWD/dist
tandem=$dist/tandem
other=${TANDEM:-${CARGO_TARGET_DIR:-$PWD/target}/debug/tandem}
[ -x "$tandem" ] || { echo "test-dist: make dist comes first"; exit 1; }
work=$(mktemp -d /tmp/dist-XXXXXX)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
    chmod -R u+w "$work" # go's module cache is read-only
    rm -rf "$work"
}
trap cleanup EXIT
. scripts/checks.sh
until_true() { # COMMAND…: waits until it succeeds, for two minutes at most
    for _ in $(seq 1200); do "$@" && return; sleep 0.1; done
    echo "in vain: $*"
    return 1
}

no_libraries() { ! readelf --dynamic "$tandem" | grep NEEDED && ! readelf --program-headers "$tandem" | grep INTERP; }
check "the binary needs no library" no_libraries
says_what_it_is() { "$tandem" version --json | tee /dev/stderr | grep -q '"static":true'; }
check "it says what it is" says_what_it_is

# A root with a kernel's file systems, Go, the binary and a program's source.
alone() {
    local root=$work/root go
    go=$(go env GOROOT)
    mkdir -p "$root"/{proc,sys,dev,tmp,src,usr/local/go}
    cp "$tandem" "$root/tandem"
    printf 'module hello\n\ngo 1.21\n' >"$root/src/go.mod"
    cat >"$root/src/main.go" <<'END'
package main

import (
	"fmt"
	"net"
	"net/http"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	go http.Serve(listener, nil)
	answer, err := http.Get("http://" + listener.Addr().String() + "/hello")
	if err != nil {
		panic(err)
	}
	answer.Body.Close()
}
END
    unshare --mount --propagation private sh -ec '
        root=$1
        mount --bind -o ro "$2" "$root/usr/local/go"
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --bind /dev "$root/dev"
        cd /
        in_root() { env -i PATH=/usr/local/go/bin HOME=/tmp TMPDIR=/tmp TANDEM_STORE=/tmp/store GOTOOLCHAIN=local GOFLAGS=-p=2 CGO_ENABLED=0 "$(command -v chroot)" "$root" "$@"; }
        in_root /tandem go build -C /src -o /hello .
        in_root /tandem run --no-ui -- /hello
        in_root /tandem traces --json >"$3"
    ' sh "$root" "$go" "$work/traces" || return
    cat "$work/traces"
    grep -q '"root":"GET /hello"\|"root":"GET"' "$work/traces" && grep -q '"span_count":2' "$work/traces"
}
check "it weaves and runs hello where there is nothing but a kernel and Go" alone

# Two builds take turns at one store, while a program runs.
turns() {
    local socket=$work/agent.sock store=$work/store build started address number=0
    TANDEM_CACHE=$work/cache "$tandem" go build -C tests/programs -o "$work/steps" ./steps || return
    mkfifo "$work/input"
    exec 9<>"$work/input" # the program ends when its standard input does
    TANDEM_SOCKET=$socket OTEL_SERVICE_NAME=steps "$work/steps" "$work/account" <"$work/input" >"$work/said" &
    pids+=($!)
    program=$!
    until_true grep -q address "$work/said" || return
    address=$(sed 's/.*address //' "$work/said")
    stored() { TANDEM_STORE=$store "$1" traces --json --limit 1000 2>/dev/null | grep -c '"services":\["steps"\]'; }
    has() { [ "$(stored "$1")" = "$2" ]; }
    for build in "$other" "$tandem" "$other" "$tandem"; do
        number=$((number + 1))
        curl -sf "http://$address/step?n=$number" >/dev/null || return # while there is no agent
        TANDEM_STORE=$store "$build" agent --no-ui --socket "$socket" 2>"$work/agent" &
        started=$!
        pids+=("$started")
        number=$((number + 1))
        curl -sf "http://$address/step?n=$number" >/dev/null || return
        until_true has "$build" $number || { cat "$work/agent"; return 1; }
        kill $started && wait $started || { cat "$work/agent"; return 1; }
    done
    kill -0 $program
}
if [ -x "$other" ] && have curl; then
    check "a program and the store outlive an upgrade and a downgrade of the agent" turns
else
    skip "an upgrade and a downgrade" "there is no other build at $other, or no curl"
fi

# The package, in a root of its own: installed, installed again, removed, purged.
package() {
    local root=$work/installed deb
    deb=$(echo "$dist"/tandem_*_amd64.deb)
    mkdir -p "$root"/var/lib/dpkg/{info,updates} "$root"/etc
    touch "$root"/var/lib/dpkg/{status,available}
    manage() { dpkg --root="$root" --force-script-chrootless --force-bad-path --log=/dev/null "$@"; }
    manage --install "$deb" || return
    "$root/usr/bin/tandem" version || return
    grep -q '^tandem:' "$root/etc/passwd" || { echo "there is no user"; return 1; }
    mkdir -p "$root/var/lib/tandem/store"
    echo "# changed" >>"$root/etc/tandem/agent.env"
    manage --install "$deb" && grep -q changed "$root/etc/tandem/agent.env" && [ -d "$root/var/lib/tandem/store" ] || return
    manage --remove tandem && [ ! -e "$root/usr/bin/tandem" ] && [ -e "$root/etc/tandem/agent.env" ] || return
    manage --purge tandem && [ ! -e "$root/etc/tandem/agent.env" ] && [ ! -e "$root/var/lib/tandem" ]
}
if have dpkg; then check "the package installs, upgrades and goes" package; else skip "the package" "there is no dpkg"; fi
if have lintian; then
    check "the package is in order" lintian --allow-root --fail-on error,warning "$dist"/tandem_*_amd64.deb
else
    skip "the package's form" "there is no lintian"
fi

signature() {
    (cd "$dist" && sha256sum --quiet -c SHA256SUMS) || return
    local key=$work/key
    ssh-keygen -q -t ed25519 -N '' -f "$key" && cp "$dist/SHA256SUMS" "$work/" || return
    (cd "$work" && ssh-keygen -q -Y sign -f "$key" -n tandem SHA256SUMS) || return
    echo "somebody $(cut -d' ' -f1,2 "$key.pub")" >"$work/signers"
    verify() { ssh-keygen -Y verify -f "$work/signers" -I somebody -n tandem -s "$work/SHA256SUMS.sig" <"$1"; }
    verify "$work/SHA256SUMS" || return
    sed 's/^./x/' "$work/SHA256SUMS" >"$work/other"
    ! verify "$work/other"
}
if have ssh-keygen; then check "checksums hold, and their signature" signature; else skip "the signature" "there is no ssh-keygen"; fi

for command in "version" "--help" "version --json"; do # said, not judged: machines differ
    times=()
    for _ in $(seq 21); do
        begin=$EPOCHREALTIME
        # shellcheck disable=SC2086 # words
        "$tandem" $command >/dev/null
        end=$EPOCHREALTIME
        times+=($((${end/./} - ${begin/./})))
    done
    echo "         tandem $command: $(printf '%s\n' "${times[@]}" | sort -n | sed -n 11p) µs (median of 21)"
done

summary
