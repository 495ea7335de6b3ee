#!/usr/bin/env bash
# Weaves the shop, runs it under load, prints one trace with its anatomy, one through services that nobody wove (where this machine
# lets them be observed), the figures of one route and the page's address.
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

# Why services that nobody wove cannot be observed here; nothing where they can.
why_unobserved() {
    command -v python3 >/dev/null || { echo 'there is no python3'; return; }
    local checks why
    checks=$("$tandem" doctor --agent --json | grep -E '^\{"group":"(anatomy|unwoven|sockets)"')
    [ "$(grep -cE '"name":"(probes on functions|sockets. probe)".*"available":true' <<<"$checks")" != 2 ] || return 0
    why=$(sed -n 's/.*"available":false,"detail":"\([^"]*\)".*/\1/p' <<<"$checks" | sed -n 1p)
    echo "${why:-tandem doctor says why}"
}

# A script that gives a program the name of its service: `script_of SERVICE PROGRAM >FILE`.
script_of() { printf '#!/bin/sh\nOTEL_SERVICE_NAME=%s exec "%s" "$@"\n' "$1" "$2"; }

# found_trace ROUTE SERVICES: the id of a trace that went through these services, and of which every span has come.
found_trace() {
    local candidates
    candidates=$("$tandem" traces --store "$work/store" --route "$1" --limit 50 --json 2>/dev/null |
        grep -F "[$2]" | grep '"error_count":0' | sed -n 's/^{"trace_id":"\([0-9a-f]*\)".*/\1/p') || true
    for trace in $candidates; do
        "$tandem" trace "$trace" --store "$work/store" >"$work/trace"
        grep -q 'missing span' "$work/trace" || return 0
    done
    return 1
}

# Probes and listeners are in place: requests from now on are seen.
observing() {
    metrics "$endpoint" | tr -d '\r' >"$work/metrics"
    grep -qx 'tandem_observed_programs 2' "$work/metrics" && grep -qx 'tandem_observers_busy 0' "$work/metrics"
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
# Who starts the services and who plays the customers is no part of the picture: these are built plainly. So is pricing, as a service
# of others would be, and tax is Python: they are observed from outside.
step 'building its launcher, its customers and a service that stays as it is' \
    go build -o "$work/bin/" ./cmd/shop ./cmd/loadgen ./unwoven/pricing
for service in "${services[@]}"; do
    script_of "$service" "$work/woven/$service" >"$work/bin/$service"
done
run=("$tandem" run --store "$work/store" --metrics 127.0.0.1:0)
shop=("$work/bin/shop" --json --log-dir "$work/logs")
left_out=$(why_unobserved)
if [ -z "$left_out" ]; then
    script_of tax "$(command -v python3)" >"$work/bin/python3" # the launcher takes the first in PATH
    run+=(--observe pricing --observe python3)
    shop+=(--with-unwoven)
fi
chmod +x "$work/bin/"*

TMPDIR=$work PATH=$work/bin:$PATH "${run[@]}" -- "${shop[@]}" >"$work/shop.json" 2>"$work/run.log" &
run_pid=$!
await 'the shop' started
page=$(sed -n 's/^tandem: page at \(http[^ ]*\).*/\1/p' "$work/run.log")
endpoint=$(sed -n 's/^tandem: metrics at \(http[^ ]*\)\/metrics.*/\1/p' "$work/run.log")
sed -n '/page at\|metrics at/!s/^tandem: /note: /p' "$work/run.log"

[ -n "$left_out" ] || await 'the services that nobody wove are observed' observing

step '500 requests' "$work/bin/loadgen" --gateway "$gateway" --requests 500
customers=$(cat "$work/step.log")
await 'a trace across four services' found_trace 'POST /checkout' '"gateway","inventory","orders","worker"'

printf '\nOne order, through four woven services: tandem trace %s\n\n' "${trace:0:8}"
cat "$work/trace"
if [ -z "$left_out" ]; then
    await 'a trace across services that nobody wove' found_trace 'GET /products/:id' '"gateway","inventory","pricing","tax"'
    printf '\nOne product page, through two that nobody wove: tandem trace %s
gateway (woven Go) → pricing (plain Go) → tax (Python) → inventory (woven Go). A span with nothing after its service
is woven, with exact context. "probed" comes from probes on functions, "from socket" from what a program of any language said there;
below it stands how its parent was found.\n\n' "${trace:0:8}"
    cat "$work/trace"
else
    printf '\nLeft out: a trace through services that nobody wove, in Go and Python (%s).\n' "$left_out"
fi
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
