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
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) deny --offline check licenses bans sources

.PHONY: test-rust
test-rust: build ## The tests of the three crates
	testbed/tools cargo-nextest postgresql
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) nextest run --workspace --locked --no-fail-fast

.PHONY: test-example
test-example: ## The tests of the reference service and its history
	cd examples/shithubd && $(CARGO) test --locked
	examples/shithubd/history/verify --quick

.PHONY: prove
prove: ## The longer proofs: every release of the reference service is built, run and migrated
	examples/shithubd/history/verify --tests

.PHONY: bench-flip
bench-flip: ## A flip through unship against the bare floor, under load
	$(CARGO) run --release --locked -p unship-bench --bin flip

.PHONY: bench-check
bench-check: ## All work of `check` on a migration step against psql applying the same up, down, up
	$(CARGO) run --release --locked -p unship-bench --bin check

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
