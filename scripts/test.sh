#!/usr/bin/env bash
# Runs the test suites and adds up what they say. `scripts/test.sh NAME` runs one suite.
# A test that cannot run here writes "name: reason" into $TANDEM_SKIPS, returns, and is counted as skipped, not as passed.
# $SUITES names another list of suites than that of `make test`.
# The logs of failed suites are kept where $TANDEM_LOGS says, if it does.
set -uo pipefail
cd "$(dirname "$0")/.."
only=${1:-}
logs=$(mktemp -d)
export TANDEM_SKIPS=$logs/skips
ignored=$logs/ignored # by the test framework itself, which has not counted them as passed
: >"$TANDEM_SKIPS" >"$ignored"
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
            sed -n 's/^skipped: \(.*\)/\1/p' "$log" >>"$ignored"
            # Those with #[ignore] are not named here; the attribute names their target.
            awk -v name="$name" '/^test result:/ { for (n = $8; n > 0; n--) print name ": a long test with a make target of its own" }' "$log" >>"$ignored"
            ;;
        go)
            ok=$(grep -c '^--- PASS' "$log")
            bad=$(grep -c '^--- FAIL' "$log")
            # go test -v prints the reason before the verdict.
            awk '/^ +[^ ]+_test\.go:[0-9]+: / { why = $0; sub(/^ +/, "", why) } /^--- SKIP: / { print $3 ": " why }' "$log" >>"$ignored"
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
        # What failed may have been said long before the end.
        [ "$format" != go ] || grep -E -A 20 -e '--- FAIL' -e '^ +[^ ]+\.go:[0-9]+: ' "$log" | head -n 200
        tail -n 120 "$log"
        [ -z "${TANDEM_LOGS:-}" ] || { mkdir -p "$TANDEM_LOGS" && cp "$log" "$TANDEM_LOGS/"; }
    fi
}

. "${SUITES:-scripts/suites.sh}"

early=$(sort -u "$TANDEM_SKIPS" | wc -l) # each returned early and was counted as passed above
skipped=$((early + $(wc -l <"$ignored")))
if [ "$skipped" != 0 ]; then
    echo
    echo "Skipped, and why:"
    sort "$ignored" <(sort -u "$TANDEM_SKIPS") | uniq -c | sed 's/^ *1 /  /; s/^ *\([0-9][0-9]*\) /  \1 times /'
fi
[ ${#failures[@]} = 0 ] || { echo; echo "Failed: ${failures[*]}"; }
echo
echo "$((passed - early)) passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
