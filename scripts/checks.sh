# shellcheck shell=bash
# For scripts that check one thing after the other: what passed, what failed and what was skipped is counted in passed, failed and
# skipped. Needs a folder in $work.
passed=0 failed=0 skipped=0

check() { # NAME COMMAND…
    local name=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        passed=$((passed + 1))
        echo "ok       $name"
    else
        failed=$((failed + 1))
        echo "FAILED   $name"
        cat "$work/output"
    fi
}

skip() { # NAME REASON
    skipped=$((skipped + 1))
    echo "skipped  $1: $2"
}

have() { command -v "$1" >/dev/null 2>&1; }

# The last line; fails where something has.
summary() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}
