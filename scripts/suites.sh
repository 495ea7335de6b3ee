# The suites of `make test`, in the order in which a failure is cheapest to understand. Sourced by test.sh.
suite page plain scripts/page.sh
suite build plain cargo build --quiet --package tandem
