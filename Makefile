# One command per need. `make drill` and `make test` need Rust, gcc, make, git and python3, nothing else.

CARGO ?= cargo
UNSHIP = target/debug/unship

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the program
	$(CARGO) build --locked

.PHONY: drill
drill: build ## Rehearse a rollback for real, under load, on this machine
	$(UNSHIP) drill --config examples/shithubd/unship.toml

.PHONY: test
test: lint test-rust test-example ## Run all tests

.PHONY: lint
lint: ## Formatting, clippy as errors, licences and sources of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	testbed/tools cargo-deny
	# Also the crates of other platforms, which a build here does not bring and cargo-deny reads.
	$(CARGO) fetch --locked
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) deny --offline check licenses bans sources

.PHONY: test-rust
test-rust: build ## The tests of the three crates
	testbed/tools cargo-nextest postgresql sshd ansible prism unleash flagd aiosmtpd chromium sqlx diesel dbmate
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) nextest run --workspace --locked --no-fail-fast

.PHONY: test-example
test-example: ## The tests of the reference service and its history
	cd examples/shithubd && $(CARGO) test --locked
	examples/shithubd/history/verify --quick

.PHONY: prove
prove: ## The longer proofs: every release of the reference service is built, run and migrated
	examples/shithubd/history/verify --tests
	UNSHIP_PROVE_CASES=10000 $(CARGO) test --locked -p unship --test check -- --nocapture property
	UNSHIP_PROVE=1 UNSHIP_PROVE_CASES=10000 $(CARGO) test --locked -p unship --test down -- --nocapture zero_loss property cut::

.PHONY: bench-flip
bench-flip: ## A flip through unship against the bare floor, under load
	$(CARGO) run --release --locked -p unship-bench --bin flip

.PHONY: bench-check
bench-check: ## All work of `check` on a migration step against psql applying the same up, down, up
	$(CARGO) run --release --locked -p unship-bench --bin check

ROWS ?= 10000000
.PHONY: bench-down
bench-down: ## Time under lock of a step down that loses nothing against the bare down: make bench-down ROWS=10000000
	$(CARGO) run --release --locked -p unship-bench --bin down -- --rows $(ROWS)

.PHONY: test-pg-matrix
test-pg-matrix: build ## The tests of `check` on PostgreSQL 15 to 18
	PATH="$(CURDIR)/target/tools/bin:$$PATH" testbed/pg-matrix

.PHONY: bench-journal
bench-journal: ## What the journal costs per step and per flip, against a bare write and fdatasync
	$(CARGO) run --release --locked -p unship-bench --bin journal

SEEDS ?= 10000
.PHONY: sim
sim: ## Seeded simulation of operators, hosts, ledger and network: make sim SEEDS=10000
	UNSHIP_SIM_SEEDS=$(SEEDS) $(CARGO) test --locked -p unship --test crash -- --nocapture simulation

.PHONY: prove-crash
prove-crash: build ## kill -9 at every point, 200 random moments, 1,000 races, every pair of points: some minutes
	UNSHIP_PROVE=1 UNSHIP_SIM_SEEDS=$(SEEDS) $(CARGO) test --locked -p unship --test crash -- --nocapture --test-threads=1

N ?= 3
.PHONY: prove-fleet
prove-fleet: build ## On three hosts: every fault, and the operator killed at every point of a rollback: long, root
	PATH="$(CURDIR)/target/tools/bin:$$PATH" UNSHIP_PROVE=1 $(CARGO) nextest run --locked -p unship --test fleet

SIZES ?= 1 3 20
.PHONY: bench-fleet
bench-fleet: ## Rollbacks of 1, 3 and 20 hosts against parallel ssh, Ansible and Capistrano: half an hour, root
	testbed/tools ansible capistrano
	$(CARGO) build --release --locked -p unship -p unship-bench
	target/release/fleet $(SIZES)

.PHONY: testbed-up
testbed-up: ## N systemd hosts with sshd and one with PostgreSQL, in network namespaces: make testbed-up N=3
	testbed/fleet up $(N)

.PHONY: testbed-down
testbed-down: ## Take these hosts down
	testbed/fleet down
