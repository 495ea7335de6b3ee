# Tandem. `make` lists what there is; whatever CI does, a person does with the same word.

SHELL       := bash
TARGET_DIR  := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
TANDEM      := $(TARGET_DIR)/release/tandem
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup build dist docs page screenshots install demo offsets probe-sites test test-advise test-budget test-clangs test-context test-debuggers test-deploy test-diagnose test-dist test-fleet test-go-versions test-packs test-platforms test-reuse test-splicer test-unwoven-kafka soak soak-programs fuzz check format generate pack-versions pack-pages bench compat clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## weave the shop, run it under load, show one trace and the page's address (KEEP=1 stays)
	@scripts/setup.sh build
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh $(TANDEM)

test: ## every test that fits CI, with a summary of passed, failed and skipped
	@scripts/setup.sh test
	@scripts/test.sh $(ONLY)

test-packs: ## every pack against its real servers, at the lowest and highest version of its library (ONLY=redis: what has it in its name)
	@scripts/setup.sh packs
	@SUITES=scripts/suites-packs.sh PACKS=$(ONLY) scripts/test.sh

test-fleet: ## three agents, two Collectors, Jaeger: one Collector ends, another comes, nothing is lost (builds Jaeger: minutes)
	@scripts/setup.sh test
	@cargo test --package tandem --test e2e fleet:: -- --ignored --nocapture

test-go-versions: ## woven programs with every Go from 1.21 to 1.27, observed ones from 1.18, which the go command fetches
	@cargo build --quiet --package tandem-weave --examples
	@export TANDEM_GO_VERSIONS="go1.21.0 go1.22.12 go1.23.12 go1.24.13 go1.25.14 local go1.27.4"; \
		cargo test --package tandem-weave --test runtime export_data_is_identical_in_another && \
		cargo test --package tandem-weave --test alike packages_look_plain_in_another && \
		cargo test --package tandem --test e2e go_versions -- --include-ignored && \
		TANDEM_GO_VERSIONS="go1.18.10 go1.19.13 go1.20.14 $$TANDEM_GO_VERSIONS" \
			cargo test --package tandem --test unwoven _of_every_g -- --include-ignored

test-unwoven-kafka: ## whose child a message to Kafka is, of programs that nobody wove (a broker in Java)
	@cargo test --package tandem --test unwoven kafka:: -- --include-ignored

# Known to be published, and near enough to each other for the table of layouts.
GO_VERSIONS := go1.18.10 go1.19.13 go1.20.14 go1.21.0 go1.21.13 go1.22.12 go1.23.12 go1.24.13 go1.25.14 go1.26.8 go1.27.4

offsets: ## the table of structures' layouts by version: programs with published modules are built and read (an hour)
	@TANDEM_GO_VERSIONS="$(GO_VERSIONS)" TANDEM_MODULE_GO_VERSIONS="go1.24.13 go1.27.4" cargo run --release --package gobin --example offsets

probe-sites: ## docs/probe-sites.md against programs of every Go since 1.18 and of several versions of modules (GENERATE=1: write it)
	@TANDEM_GO_VERSIONS="$(GO_VERSIONS)" $(if $(GENERATE),TANDEM_GENERATE=1) \
		cargo test --package gobin --test binary --test probe_sites --test ways_out -- --ignored --nocapture

test-advise: ## the closed loop on the shop: blind spot, advice, change, gone (minutes)
	@scripts/setup.sh test
	@cargo test --package tandem --test advise -- --ignored --nocapture

test-budget: ## an agent within its budget while load triples (minutes, on a machine that does nothing else)
	@scripts/setup.sh test
	@cargo test --package tandem --test e2e regulate:: -- --include-ignored --nocapture --test-threads 1

test-clangs: ## the kernel half's programs as two versions of clang compile them, each taken by the kernel and tested
	@scripts/setup.sh clangs
	@scripts/clangs.sh

test-context: ## the bed of concurrency shapes: every parent of SPANS (default 1000000) spans, plain and with the race detector
	@scripts/setup.sh test
	@TANDEM_CONTEXT_SPANS=$(or $(SPANS),1000000) \
		cargo test --release --package tandem --test e2e context::every_parent -- --ignored --skip go_versions --nocapture --test-threads 1

test-deploy: ## what deploy/ holds, by the checkers of systemd, Kubernetes' API and the Collector
	@scripts/test-deploy.sh

test-dist: ## what `make dist` made: alone with a kernel and Go, as a package, in turns with another build (minutes)
	@cargo build --quiet --package tandem
	@scripts/test-dist.sh

test-diagnose: ## faults put into the shop, RUNS (default 10) runs each: the right cause comes first (half an hour)
	@scripts/setup.sh test
	@TANDEM_DIAGNOSE_RUNS=$(or $(RUNS),10) \
		cargo test --package tandem --test diagnose -- --include-ignored --nocapture --test-threads 1

test-sockets: ## programs of any language by what they say on their sockets, with servers that Maven fetches (minutes)
	@scripts/setup.sh test
	@cargo test --package tandem --test sockets -- --include-ignored

soak: ## for DURATION (default 1h) each: the same bed, of which nothing is left open and no memory kept; delivery through every fault
	@scripts/setup.sh test
	@TANDEM_SOAK=$(or $(DURATION),1h) \
		cargo test --release --package deliver --test retry soak -- --ignored --nocapture
	@TANDEM_SOAK=$(or $(DURATION),1h) \
		cargo test --release --package tandem --test e2e context::soak -- --ignored --nocapture

soak-programs: ## COUNT (default 5000) programs with 100 goroutines each start and end under one agent, which keeps nothing
	@scripts/setup.sh test
	@TANDEM_SOAK_PROGRAMS=$(or $(COUNT),5000) \
		cargo test --release --package tandem --test e2e soak::programs_by_the_thousand -- --ignored --nocapture

test-platforms: ## woven programs for other systems and processors, built, and run where they can be
	@cargo build --quiet --package tandem
	@TANDEM=$(abspath $(TARGET_DIR))/debug/tandem TANDEM_TEST_PLATFORMS=1 go -C tests/standalone test -v -run OtherPlatforms .

test-debuggers: ## woven programs under Delve, go tool pprof and gopls, which it builds
	@cargo build --quiet --package tandem-weave --examples
	@cargo test --package tandem-weave --test debuggers -- --ignored

test-reuse: ## larger programs, with many flags: what is taken from the plain build is what the compiler would make (an hour)
	@cargo build --quiet --package tandem-weave --examples
	@cargo test --package tandem-weave --test reuse -- --ignored --nocapture

test-splicer: ## weave every function of the standard library and of all modules in the module cache, in memory
	@TANDEM_TEST_EVERY_FILE=1 cargo test --release --package tandem-weave --test splicer -- --nocapture

fuzz: ## fuzz what reads other people's bytes, SECONDS (default 60) for each target
	@scripts/fuzz.sh $(or $(SECONDS),60) $(ONLY)

check: ## formatting and lints of Rust, Go, C and the page
	@scripts/setup.sh build
	@scripts/check.sh

bench: ## ratios against plain Go and the OpenTelemetry SDK; raw figures in bench/raw
	@scripts/setup.sh bench
	@$(MAKE) --no-print-directory build
	@bench/run.sh $(TANDEM) $(ONLY)

compat: ## real programs and libraries, plain against woven (ONLY="caddy gin"; all takes hours); results in compat/
	@scripts/setup.sh build
	@$(MAKE) --no-print-directory build
	@compat/run.sh $(TANDEM) $(ONLY)

build: page ## the tandem binary, release
	@TANDEM_COMMIT=$$(git rev-parse HEAD 2>/dev/null) cargo build --release --package tandem

dist: ## dist/: one static binary, a Debian package, what is inside, checksums (SIGN_KEY=FILE signs them)
	@scripts/setup.sh dist
	@scripts/dist.sh

docs: ## target/docs-site/: the documentation as a site, with a search; a link that leads nowhere fails it
	@scripts/setup.sh docs
	@node scripts/docs-site.mjs $(TARGET_DIR)/tools/bin/mdbook $(TARGET_DIR)/docs-site

page: ## the page's bundle, embedded into the binary
	@scripts/page.sh

screenshots: ## docs/images: the page's views over made-up traffic, by the test that checks them in Chromium
	@scripts/setup.sh test
	@scripts/screenshots.sh

install: build ## put tandem into PREFIX/bin (default /usr/local)
	@install -D -m 755 $(TANDEM) $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/tandem

generate: ## the files that are derived from the shared-memory contract, the table of builds from its tests, docs/commands from the program
	@cargo run --quiet --package record --bin record-generate
	@TANDEM_GENERATE=1 cargo test --quiet --package tandem-weave --test modes table
	@TANDEM_GENERATE=1 cargo test --quiet --package tandem --bins reference::

pack-versions: ## the table of versions in each pack: every release of its library is fetched and read
	@cargo build --quiet --package tandem
	@for pack in packs/*; do $(TARGET_DIR)/debug/tandem packs verify $$pack --markdown >$$pack/versions.md.new || [ $$? = 1 ] || exit; mv $$pack/versions.md.new $$pack/versions.md; done

pack-pages: ## docs/packs: a page for each pack, from what it says of itself and what its tests have shown
	@TANDEM_GENERATE=1 cargo test --quiet --package tandem --test packs -- pages_are_up_to_date

format: ## format Rust, Go and C
	@cargo fmt --all
	@git ls-files '*.go' | grep -v testdata | xargs gofmt -w

setup: ## install what building and testing need
	@scripts/setup.sh test

clean: ## remove what the build made
	@cargo clean
	@rm -rf dist web/node_modules web/dist bench/raw compat/work
