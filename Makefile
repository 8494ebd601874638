# Outcry. `make demo` shows the market at work, `make test` runs every test,
# `make bench` measures. Each installs what it needs from the lock files first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
NPM ?= npm
BIN := target/release

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

# --- tools and packages ------------------------------------------------------

.PHONY: tools
tools:
	@scripts/tools.sh

# A stamp beside the packages, so that a second call needs no network.
contracts/node_modules/.stamp: contracts/package.json contracts/package-lock.json | tools
	@echo "installing the contracts' packages"
	@cd contracts && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

sdk/ts/node_modules/.stamp: sdk/ts/package.json sdk/ts/package-lock.json | tools
	@echo "installing the TypeScript SDK's packages"
	@cd sdk/ts && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: packages
packages: contracts/node_modules/.stamp sdk/ts/node_modules/.stamp

.PHONY: build
build: contracts/node_modules/.stamp ## Build the binaries (target/release/outcry, outcry-testnet)
	@$(CARGO) build --release --locked -p outcry -p outcry-testnet

# --- the market at work ------------------------------------------------------

.PHONY: demo
demo: build ## Run the whole market on this machine and check its results
	@$(BIN)/outcry-testnet demo --dir target/demo

# --- tests -------------------------------------------------------------------

.PHONY: test test-generated test-guest test-contracts test-rust test-ts
test: packages test-generated test-guest test-contracts test-rust test-ts ## Run every test

test-generated: packages # what is generated and checked in is current
	@node verifier/guest/build.mjs --check
	@node testnet/programs/build.mjs --check
	@node verifier/native/benches/programs/build.mjs --check
	@node protocol/clearing/guest/build.mjs --check
	@cd contracts && $(NPM) run --silent artifacts -- --check

test-guest: contracts/node_modules/.stamp # the WASI library against another WASI
	@node --no-warnings --test verifier/guest/test/library.test.mjs

test-contracts: contracts/node_modules/.stamp
	@cd contracts && $(NPM) test --silent && $(NPM) run --silent gas -- --check

test-rust: contracts/node_modules/.stamp
	@$(CARGO) test --release --locked --workspace
	@$(CARGO) test --release --locked -p outcry-store --features sled

# `test-rust` leaves the binaries behind; building them apart would compile half of the
# dependencies again, with the features that tests do not ask for left out.
test-ts: sdk/ts/node_modules/.stamp
	@test -x $(BIN)/outcry-testnet -a -x $(BIN)/outcry || $(MAKE) build
	@cd sdk/ts && $(NPM) test --silent
	@$(BIN)/outcry-testnet with -- $(NPM) --prefix sdk/ts run --silent test:e2e

# --- for developers ----------------------------------------------------------

.PHONY: lint
lint: ## Format and lint (needs rustfmt and clippy)
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

# The solver that clearings are compared with.
target/bench/solver/.stamp: protocol/clearing/bench/requirements.txt
	@mkdir -p target/bench
	@python3 -m venv target/bench/solver
	@target/bench/solver/bin/pip install --quiet -r $<
	@touch $@

.PHONY: bench-auction
bench-auction: target/bench/solver/.stamp # the clearing, against a MIP solver
	@$(CARGO) run --release --locked -p outcry-clearing --example auction -- --write target/bench/auction
	@target/bench/solver/bin/python protocol/clearing/bench/optimum.py target/bench/auction
	@$(CARGO) run --release --locked -p outcry-clearing --example auction -- \
		--read target/bench/auction --out target/bench/auction.json
	@$(CARGO) run --release --locked -p outcry-audit --example clearing -- --out target/bench/clearing.json

.PHONY: bench-spot
bench-spot: # spot matching, explanations and quotes on large books
	@mkdir -p target/bench
	@$(CARGO) run --release --locked -p outcry-protocol --example spot -- --out target/bench/spot.json

.PHONY: bench
bench: build bench-auction bench-spot ## Measure; figures go to target/bench/*.json
	@mkdir -p target/bench
	@$(CARGO) run --release --locked -p outcry-native --example ratios -- --out target/bench/native.json
	@$(CARGO) run --release --locked -p outcry-native --example interpreter -- --out target/bench/interpreter.json
	@$(CARGO) run --release --locked -p outcry-native --example commit -- --out target/bench/commit.json
	@$(CARGO) run --release --locked -p outcry-executor --example load -- --out target/bench/load.json
	@$(BIN)/outcry-testnet bench --out target/bench/market.json
	@$(BIN)/outcry-testnet gossip --out target/bench/gossip.json

.PHONY: fuzz
fuzz: contracts/node_modules/.stamp ## Compare generated programs, changed proofs and floats in all executions
	@mkdir -p target/bench
	@$(CARGO) run --release --locked -p outcry-audit --example fuzz -- --out target/bench/fuzz.json

.PHONY: analyse
analyse: contracts/node_modules/.stamp ## Prove the game's clocks, and look for known mistakes in the contracts
	@cd contracts && $(NPM) run --silent analyse

.PHONY: soak
soak: contracts/node_modules/.stamp ## The same at length, the test suite with every step on chain, 2,000 disputes
	@mkdir -p target/bench
	@OUTCRY_SOAK=1 $(CARGO) test --release --locked -p outcry-clearing -- --nocapture
	@OUTCRY_SOAK=1 $(CARGO) test --release --locked -p outcry-audit --test suite --test disputes -- --nocapture
	@$(CARGO) run --release --locked -p outcry-audit --example fuzz -- --first 2000000 --count 100000 \
		--floats 100000000 --sweep 20000000000 --out target/bench/soak.json
	@$(CARGO) run --release --locked -p outcry-native --example reference

.PHONY: generate
generate: packages ## Regenerate what is generated and checked in
	@node verifier/guest/build.mjs
	@node testnet/programs/build.mjs
	@node verifier/native/benches/programs/build.mjs
	@node protocol/clearing/guest/build.mjs
	@cd contracts && $(NPM) run --silent artifacts && $(NPM) run --silent gas
	@$(CARGO) run --release --locked -p outcry-protocol --example vectors
