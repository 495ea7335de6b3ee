#!/usr/bin/env bash
# Builds the page (web/dist) from its pinned sources, when it is missing or older than they are.
set -euo pipefail
cd "$(dirname "$0")/../web"

newest=$(find src public index.html package.json package-lock.json svelte.config.js vite.config.ts size.mjs -newer dist/index.html -print -quit 2>/dev/null || echo build)
[ -f dist/index.html ] && [ -z "$newest" ] && exit 0

# The bundler wants a newer Node than some distributions carry; the npm registry has one.
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
    tools=${XDG_CACHE_HOME:-$HOME/.cache}/tandem/node
    [ -x "$tools/node_modules/node/bin/node" ] || npm install --silent --no-save --prefix "$tools" node@22
    export PATH=$tools/node_modules/node/bin:$PATH
fi
echo "page: building with node $(node --version)"
npm ci --silent --no-fund --no-audit
npm run --silent build
