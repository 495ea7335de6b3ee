#!/usr/bin/env bash
# Pictures of the page for the documentation (docs/images): made by the test that looks at every view in Chromium.
set -euo pipefail
cd "$(dirname "$0")/.."

pictures=(traces trace-selected routes map-service software compare-times)
work=$(mktemp -d "${TMPDIR:-/tmp}/tandem-screenshots-XXXXXX")
trap 'rm -rf "$work"' EXIT

scripts/page.sh
TANDEM_SCREENSHOTS=$work cargo test --package ui --test browser -- --nocapture
[ -f "$work/${pictures[0]}.png" ] || { echo "screenshots: the test was skipped: it says above what is missing" >&2; exit 1; }
mkdir -p docs/images
for name in "${pictures[@]}"; do cp "$work/$name.png" "docs/images/$name.png"; done
du -ch docs/images/*.png | tail -1
