#!/usr/bin/env bash
# The kernel half's tests with what each clang here makes of its programs: two of them at least, or it says why not.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t clangs < <(compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -uV)
[ ${#clangs[@]} -ge 2 ] || { echo "clangs: skipped, the only one here is ${clangs[*]:-none}: install another (Debian: apt-get install clang-16)"; exit 0; }
for clang in "${clangs[@]}"; do
    echo "clangs: $("$clang" --version | head -1)"
    CLANG=$clang cargo test --quiet --package probe
done
