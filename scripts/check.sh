#!/usr/bin/env bash
# Formatting and lints of every language in the tree. Changes nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
step() { printf '%-10s ' "$1"; shift; if output=$("$@" 2>&1); then echo ok; else echo FAILED; printf '%s\n' "$output"; failed=1; fi; }

go_format() { local bad; bad=$(git ls-files '*.go' | grep -v testdata | xargs gofmt -l); [ -z "$bad" ] || { echo "gofmt would change:"; echo "$bad"; return 1; }; }
c_format() { local tool; tool=$(command -v clang-format || command -v clang-format-19) || { echo "no clang-format"; return 1; }; git ls-files ':!:*/record.h' 'crates/probe/src/bpf/*.[ch]' | xargs "$tool" --dry-run -Werror; }
go_vet() { local module; for module in examples/shop bench/harness compat/runner; do (cd "$module" && go vet ./...) || return 1; done; }
shell() { local file; for file in $(git ls-files '*.sh' .ci/run); do bash -n "$file" || return 1; done; }

scripts/page.sh || failed=1
step rustfmt cargo fmt --all --check
step clippy cargo clippy --quiet --workspace --all-targets -- --deny warnings
step gofmt go_format
step govet go_vet
step c c_format
step shell shell
[ ! -f web/package.json ] || step page npm --prefix web run --silent check
exit $failed
