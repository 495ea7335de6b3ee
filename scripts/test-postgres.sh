#!/usr/bin/env bash
# Tests the shop, woven, on a real PostgreSQL: a private server that ends with this script. Without a server's programs, or
# without a user to run it as, that is a skip with its reason. The packs' programs have servers of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
tandem=$(realpath "${TANDEM:-target/debug/tandem}")
skip() { echo "postgres: $1" >>"${TANDEM_SKIPS:-/dev/stderr}"; echo "0 passed, 0 failed"; exit 0; }

binaries=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1) || skip "no PostgreSQL server installed"
as=()
if [ "$(id -u)" = 0 ]; then # the server refuses to run as root
    id postgres >/dev/null 2>&1 || skip "no user postgres to run the server as"
    as=(setpriv --reuid postgres --regid postgres --clear-groups --)
    "${as[@]}" "$binaries/postgres" --version >/dev/null 2>&1 || skip "the user postgres may not run $binaries/postgres"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/tandem-postgres-XXXXXX")
server=''
clean_up() {
    [ -z "$server" ] || { kill -INT "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mkdir "$work/data" "$work/bin"
[ ${#as[@]} = 0 ] || chown postgres "$work" "$work/data"
"${as[@]}" "$binaries/initdb" --pgdata "$work/data" --username shop --auth trust --no-sync >/dev/null
"${as[@]}" "$binaries/postgres" -D "$work/data" -c listen_addresses= -c unix_socket_directories="$work" -c fsync=off >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
    "$binaries/pg_isready" --quiet --host "$work" && break
    kill -0 "$server" 2>/dev/null || { cat "$work/log"; exit 1; }
    sleep 0.1
done
export SHOP_POSTGRES_DSN="postgres://shop@/shop?host=$work"
"$binaries/createdb" --host "$work" --username shop shop

passed=0 failed=0
check() { if "${@:2}"; then passed=$((passed + 1)); echo "ok: $1"; else failed=$((failed + 1)); echo "FAILED: $1"; fi; }

shop_on_postgres() {
    (cd examples/shop && "$tandem" go build -o "$work/bin" ./cmd/gateway ./cmd/orders ./cmd/inventory ./cmd/worker &&
        go build -o "$work/bin" ./cmd/shop ./cmd/loadgen && SHOP_BIN_DIR=$work/bin go test -count=1 ./e2e)
}
check "the woven shop on PostgreSQL" shop_on_postgres
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
