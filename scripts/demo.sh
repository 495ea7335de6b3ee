#!/usr/bin/env bash
# Weaves the shop, runs it under load, prints one trace with its anatomy, the figures of one route and the page's address.
# `scripts/demo.sh TANDEM` ends by itself; with KEEP=1 shop and page stay until Ctrl-C. Nothing is left behind but caches.
set -euo pipefail
tandem=$(realpath -- "${1:?usage: scripts/demo.sh TANDEM}")
cd "$(dirname "$0")/../examples/shop"

services=(gateway orders inventory worker)
work=$(mktemp -d "${TMPDIR:-/tmp}/tandem-demo-XXXXXX")
run_pid='' clock_pid=''

clean_up() {
    local code=$?
    trap '' INT TERM
    [ -z "$clock_pid" ] || kill "$clock_pid" 2>/dev/null || true
    if [ -n "$run_pid" ]; then # tandem stops the shop, the shop its services
        kill -TERM "$run_pid" 2>/dev/null || true
        wait "$run_pid" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { printf 'demo: %s\n' "$1" >&2; [ ! -s "${2:-}" ] || cat "$2" >&2; exit 1; }

# A line that says how long something takes already, each second on a terminal, else now and then.
clock() {
    local seconds=0
    while sleep 1; do
        seconds=$((seconds + 1))
        if [ -t 1 ]; then printf '\r%s … %d s' "$1" "$seconds"; elif ((seconds % 15 == 0)); then printf '%s … %d s\n' "$1" "$seconds"; fi
    done
}

# step TEXT COMMAND…: the command's output is shown when it fails.
step() {
    local text=$1 started=$SECONDS code=0
    shift
    if [ -t 1 ]; then printf '%s …' "$text"; else printf '%s …\n' "$text"; fi
    clock "$text" &
    clock_pid=$!
    "$@" >"$work/step.log" 2>&1 || code=$?
    kill "$clock_pid" 2>/dev/null || true
    wait "$clock_pid" 2>/dev/null || true
    clock_pid=''
    [ ! -t 1 ] || printf '\r\033[K'
    [ "$code" = 0 ] || fail "$text: exit code $code" "$work/step.log"
    printf '%s: %d s\n' "$text" $((SECONDS - started))
}

# await TEXT COMMAND…: tries the command until it succeeds, half a minute at most.
await() {
    local text=$1 tries=0
    shift
    until "$@"; do
        kill -0 "$run_pid" 2>/dev/null || fail "the shop has ended too early" "$work/run.log"
        tries=$((tries + 1))
        [ $((tries % 50)) != 0 ] || printf 'waiting for %s … %d s\n' "$text" $((tries / 10))
        [ "$tries" -lt 300 ] || fail "$text: not within half a minute" "$work/run.log"
        sleep 0.1
    done
}

# The gateway's address, when the shop has started.
started() {
    gateway=$(sed -n 's/.*"gateway":"\([^"]*\)".*/\1/p' "$work/shop.json" | head -1)
    [ -n "$gateway" ]
}

# The id of a trace that went through all four services.
found_trace() {
    trace=$("$tandem" traces --store "$work/store" --route 'POST /checkout' --limit 50 --json 2>/dev/null |
        grep '"gateway","inventory","orders","worker"' | grep '"error_count":0' |
        sed -n 's/^{"trace_id":"\([0-9a-f]*\)".*/\1/p' | sed -n 1p) || true
    [ -n "$trace" ]
}

metrics() {
    local address=${1#http://}
    exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
    printf 'GET /metrics HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$address" >&3
    cat <&3
    exec 3<&-
}

# Rate, errors and durations of POST /checkout at the gateway, one line a status.
red() {
    awk -v seconds="$1" '
        function label(name) { return match($0, "[{,]" name "=\"[^\"]*\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : "" }
        function milliseconds(value) { return value == "+Inf" ? "?" : sprintf("%.1f", value * 1000) }
        !/service_name="gateway"/ || !/span_name="POST \/checkout"/ || !/span_kind="SPAN_KIND_SERVER"/ { next }
        { status = label("http_response_status_code") }
        /^traces_span_metrics_calls_total/ { calls[status] += $NF; if (label("error_type") != "" || label("status_code") ~ /ERROR/ || status >= 400) failed += $NF; all += $NF }
        /^traces_span_metrics_duration_seconds_sum/ { sum[status] += $NF }
        /^traces_span_metrics_duration_seconds_bucket/ { n = ++bounds[status]; bound[status, n] = label("le"); below[status, n] = $NF }
        function under(status, share,   n) { for (n = 1; n <= bounds[status]; n++) if (below[status, n] >= share * calls[status]) return milliseconds(bound[status, n]) }
        END {
            printf "%8s %8s %10s %12s %12s\n", "STATUS", "REQUESTS", "MEAN ms", "HALF UNDER", "95 % UNDER"
            for (status in calls) printf "%8s %8d %10.1f %12s %12s\n", status, calls[status], sum[status] / calls[status] * 1000, under(status, 0.5), under(status, 0.95)
            printf "%.1f a second, %d of %d refused\n", all / seconds, failed, all
        }'
}

mkdir "$work/bin" "$work/woven"
step 'weaving the shop (the first time also compiles Go and SQLite: some minutes)' \
    "$tandem" go build -o "$work/woven/" "${services[@]/#/./cmd/}"
# Who starts the services and who plays the customers is no part of the picture: these are built plainly.
step 'building its launcher and its customers' go build -o "$work/bin/" ./cmd/shop ./cmd/loadgen
for service in "${services[@]}"; do
    printf '#!/bin/sh\nOTEL_SERVICE_NAME=%s exec "%s/woven/%s" "$@"\n' "$service" "$work" "$service" >"$work/bin/$service"
    chmod +x "$work/bin/$service"
done

TMPDIR=$work "$tandem" run --store "$work/store" --metrics 127.0.0.1:0 -- \
    "$work/bin/shop" --json --log-dir "$work/logs" >"$work/shop.json" 2>"$work/run.log" &
run_pid=$!
await 'the shop' started
page=$(sed -n 's/^tandem: page at \(http[^ ]*\).*/\1/p' "$work/run.log")
endpoint=$(sed -n 's/^tandem: metrics at \(http[^ ]*\)\/metrics.*/\1/p' "$work/run.log")
sed -n '/page at\|metrics at/!s/^tandem: /note: /p' "$work/run.log"

step '500 requests' "$work/bin/loadgen" --gateway "$gateway" --requests 500
customers=$(cat "$work/step.log")
await 'a trace across four services' found_trace

printf '\nOne order, through four services: tandem trace %s\n\n' "${trace:0:8}"
"$tandem" trace "$trace" --store "$work/store"
printf '\nPOST /checkout at the gateway: %s/metrics\n\n' "$endpoint"
seconds=$(sed -n 's/^[0-9]* requests in \([0-9.]*\) s.*/\1/p' <<<"$customers")
metrics "$endpoint" | red "$seconds"

if [ -n "${KEEP:-}" ]; then
    printf '\nPage     %s\nMetrics  %s/metrics\nShop     http://%s/products\nTraces   %s traces --store %s\n\nCtrl-C ends all of it.\n' \
        "$page" "$endpoint" "$gateway" "$tandem" "$work/store"
    while kill -0 "$run_pid" 2>/dev/null; do # now and then somebody buys something
        "$work/bin/loadgen" --gateway "$gateway" --requests 20 --rate 10 >/dev/null 2>&1 || true
        sleep 2
    done
    fail 'the shop has ended' "$work/run.log"
fi
printf '\nThe page was at %s; KEEP=1 make demo stays, for you to look at it.\n' "$page"
