#!/usr/bin/env bash
# Fuzzes what reads other people's bytes: every target of every crates/*/fuzz, and those of tests/propagation, so many
# seconds each. What a run finds stays in target/fuzz (Go's in its build cache), and a later run goes on from there; an input
# that breaks something is printed and makes this fail.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
only=${2:-}

rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
home=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
export PATH=$home/tools/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root "$home/tools" cargo-fuzz

seeds() { # target: folders of inputs to begin with
    case $1 in
        splicer) echo "$PWD/crates/weave/tests/golden" "$PWD/packs" ;;
        pack) echo "$PWD/packs" ;;
        executable) small_executables "$home/seeds/executable" ;;
    esac
}

# Object files with the go command's record in them: real programs are too long to change.
small_executables() { # folder
    mkdir -p "$1"
    while read -r target section; do
        printf '.section %s\n.p2align 4\n.ascii "\\377 Go buildinf:"\n.byte 8,2\n.zero 16\n.byte 6\n.ascii "go1.26"\n.byte 56\n.zero 16\n.ascii "path\\tcommand/x\\nmod\\tx\\tv1\\n"\n.zero 16\n' "$section" |
            clang-19 -target "$target" -c -x assembler - -o "$1/$target"
    done <<-EOF
		x86_64-linux-gnu .go.buildinfo,"aw"
		x86_64-apple-darwin __DATA,__go_buildinfo
	EOF
    echo "$1"
}

failed=()
for crate in crates/*/; do
    [ -d "$crate/fuzz" ] || continue
    for source in "$crate"fuzz/fuzz_targets/*.rs; do
        target=$(basename "$source" .rs)
        [ -z "$only" ] || [ "$only" = "$target" ] || continue
        echo "fuzz: $target of $crate, $seconds s"
        mkdir -p "$home/corpus/$target" "$home/found/$target"
        # shellcheck disable=SC2046 # folders without spaces: this repository's own
        cargo +nightly fuzz run --fuzz-dir "$crate/fuzz" --target-dir "$home/build" "$target" \
            "$home/corpus/$target" $(seeds "$target") -- \
            -max_total_time="$seconds" -timeout=20 -max_len=65536 -artifact_prefix="$home/found/$target/" -print_final_stats=0 \
            || failed+=("$target")
    done
done

# Those in Go: what programs send by themselves, against OpenTelemetry's own decoders.
if [ -z "$only" ] || [ "$only" = otlp ]; then
    cargo build --quiet --package tandem
    for target in FuzzEncoder FuzzLogs; do
        echo "fuzz: otlp ($target) of go/standalone, $seconds s"
        env -C tests/standalone "${CARGO_TARGET_DIR:-$PWD/target}/debug/tandem" go test -tags woven -run '^$' \
            -fuzz "$target" -fuzztime "${seconds}s" -fuzzminimizetime 1x ./encoder || failed+=("otlp ($target)")
    done
fi
if [ -z "$only" ] || [ "$only" = reply ]; then
    echo "fuzz: reply of go/standalone, $seconds s"
    PACKAGE=tandem/standalone go/rt/test.sh -run '^$' -fuzz FuzzReply -fuzztime "${seconds}s" -fuzzminimizetime 1x || failed+=(reply)
fi
for target in $(grep -ho '^func Fuzz[A-Za-z0-9]*' tests/propagation/*_test.go | cut -d ' ' -f 2); do
    [ -z "$only" ] || [ "$only" = "$target" ] || continue
    echo "fuzz: $target of tests/propagation, $seconds s"
    go -C tests/propagation test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" . || failed+=("$target (tests/propagation/testdata)")
done
[ ${#failed[@]} = 0 ] || { echo "fuzz: failed: ${failed[*]}; the inputs are in $home/found"; exit 1; }
