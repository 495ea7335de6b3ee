#!/usr/bin/env bash
# Runs the test suites and adds up what they say. `scripts/test.sh NAME` runs one suite.
# A test that cannot run here writes "name: reason" into $TANDEM_SKIPS and is counted as skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
only=${1:-}
logs=$(mktemp -d)
export TANDEM_SKIPS=$logs/skips
: >"$TANDEM_SKIPS"
trap 'rm -rf "$logs"' EXIT

passed=0 failed=0 failures=()

# suite NAME FORMAT COMMAND…: FORMAT says how to count (cargo, go, plain).
suite() {
    local name=$1 format=$2 log=$logs/$1.log started=$SECONDS ok=0 bad=0 code=0
    shift 2
    if [ -n "$only" ] && [ "$only" != "$name" ]; then return; fi
    printf '%-12s ' "$name"
    "$@" >"$log" 2>&1 || code=$?
    case $format in
        cargo)
            ok=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
            bad=$(awk '/^test result:/ { n += $6 } END { print n + 0 }' "$log")
            ;;
        go)
            ok=$(grep -c '^--- PASS' "$log")
            bad=$(grep -c '^--- FAIL' "$log")
            sed -n 's/^--- SKIP: \([^ ]*\).*/\1: skipped by go test/p' "$log" >>"$TANDEM_SKIPS"
            ;;
        plain)
            ok=$(sed -n 's/^\([0-9]*\) passed.*/\1/p' "$log" | tail -1)
            bad=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed.*/\1/p' "$log" | tail -1)
            ;;
    esac
    ok=${ok:-0} bad=${bad:-0}
    if [ "$code" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi # it did not build, or died
    passed=$((passed + ok)) failed=$((failed + bad))
    if [ "$bad" = 0 ]; then
        printf '%4d passed  %4d s\n' "$ok" $((SECONDS - started))
    else
        printf '%4d passed, %d FAILED  %d s\n' "$ok" "$bad" $((SECONDS - started))
        failures+=("$name")
        tail -n 120 "$log"
    fi
}

. scripts/suites.sh

skipped=$(sort -u "$TANDEM_SKIPS" | wc -l)
[ "$skipped" = 0 ] || { echo; echo "Skipped, and why:"; sort -u "$TANDEM_SKIPS" | sed 's/^/  /'; }
[ ${#failures[@]} = 0 ] || { echo; echo "Failed: ${failures[*]}"; }
# A test that skips itself returns early and was counted as passed above.
early=$(grep -vc ': skipped by go test$' "$TANDEM_SKIPS")
echo
echo "$((passed - early)) passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
