# The suites of `make test-packs`: every pack's program against its real servers, and with the lowest and highest version of its
# library that is supported. Sourced by test.sh.
suite build plain cargo build --quiet --package tandem
suite packs cargo cargo test --quiet --package tandem --no-fail-fast --test packs -- --include-ignored ${PACKS:-}
