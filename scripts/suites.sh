# The suites of `make test`, in the order in which a failure is cheapest to understand. Sourced by test.sh.
#
# One cargo profile for all of them: what is built once is used by every suite. TANDEM is the binary that the suites which
# are not Rust weave with.
export TANDEM=${CARGO_TARGET_DIR:-$PWD/target}/debug/tandem
tandem_test() { cargo test --quiet --package tandem --no-fail-fast "$@"; }

suite page plain scripts/page.sh
suite build plain cargo build --quiet --workspace
suite units cargo cargo test --quiet --workspace --exclude tandem --exclude tandem-weave --exclude ui --no-fail-fast
suite weave cargo cargo test --quiet --package tandem-weave --no-fail-fast
suite rt go go/rt/test.sh -v
suite rt-race go go/rt/test.sh -race -v
suite exporter go env PACKAGE=tandem/standalone go/rt/test.sh -v
for package in db genai http messaging redis; do
    suite "$package" go env PACKAGE=tandem/$package go/rt/test.sh -v
done
suite standalone go env -C tests/standalone go test -count=1 -v .
suite otlp go env -C tests/standalone "$TANDEM" go test -tags woven -v ./encoder
suite hooks go scripts/test-hooks.sh -v
suite propagation go go -C tests/propagation test -v ./...
suite compat go go -C compat/runner test -v ./...
suite terminal cargo tandem_test --bins --test doctor --test traces --test run --test build_commands --test files --test mcp
suite ui cargo cargo test --quiet --package ui --no-fail-fast
suite ui-command cargo tandem_test --test ui
suite anatomy cargo tandem_test --test anatomy
suite profile cargo tandem_test --test profile
suite advise cargo tandem_test --test advise
suite diagnose cargo tandem_test --test diagnose
suite unwoven cargo tandem_test --test unwoven
suite sockets cargo tandem_test --test sockets
suite mixed cargo tandem_test --test mixed
suite docs cargo tandem_test --test docs
suite shop-mixes cargo tandem_test --test shop_mixes
suite packs cargo tandem_test --test packs
suite e2e cargo tandem_test --test e2e
suite shop go env -C examples/shop go test -v ./...
suite postgres plain scripts/test-postgres.sh
