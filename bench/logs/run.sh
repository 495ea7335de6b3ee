#!/usr/bin/env bash
# What a log call costs: plain, woven (ids), woven with OpenTelemetry log records. bench/logs/run.sh TANDEM [ROUNDS]
set -euo pipefail
tandem=$(realpath "$1")
rounds=${2:-5}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"
go build -o "$work/plain" .
"$tandem" go build -o "$work/woven" .
export TANDEM_STORE="$work/store" OTEL_SERVICE_NAME=bench
observed() { "$tandem" run --no-ui --no-kernel -- "$work/woven" 2>"$work/said"; if grep -q "lost" "$work/said"; then cat "$work/said" >&2; fi; }
run() {
	case $1 in
	plain) "$work/plain" ;;
	plain-again) "$work/plain" ;;
	woven) observed ;;
	woven-otlp) OTEL_LOGS_EXPORTER=otlp observed ;;
	esac
}
# In turns, so that what the machine does meanwhile meets all of them.
for ((round = 0; round < rounds; round++)); do
	for mode in plain woven woven-otlp plain-again; do run $mode | sed "s/^/$mode /" >>"$work/figures"; done
done
printf '%-6s %-12s %10s %10s %10s\n' call mode ns bytes allocs
sort -k2,2 -k1,1 "$work/figures" | awk '
	{ key = $2 " " $1; if (!(key in best) || $3 < best[key]) best[key] = $3; bytes[key] += $4; allocs[key] += $5; count[key]++ }
	END { for (key in best) { split(key, part, " "); printf "%-6s %-12s %10.0f %10.1f %10.2f\n", part[1], part[2], best[key], bytes[key] / count[key], allocs[key] / count[key] } }' | sort
