# The two commands of the README are `make demo` and `make test`; both do all their set-up on a
# fresh Debian 12 that has git and rustup.

SHELL := /bin/bash
CARGO ?= cargo
# Folder that the demo backs up; it adds others until there are 300 MB.
DIR ?= /usr/share/doc
# Folder that the benchmark works on; by default one is collected.
DATA ?=

.PHONY: demo disaster test vm crash bench bench-tape bench-crypt bench-memory bench-catalog bench-inventory bench-feed scale fuzz hunt faults tape-damage year model audit fmt lint build setup clean-demo

demo: setup
	$(CARGO) build --release --locked
	scripts/demo.sh "$(DIR)"

# docs/disaster-recovery.md done as it stands, on a machine that has nothing but cartridges; prints what it says.
disaster: setup
	$(CARGO) test --locked --test e2e the_page_about_disasters -- --nocapture

test: setup
	$(CARGO) test --workspace --locked
	$(CARGO) test --locked -p datastore --features model --test model

# Strangers' programs on the emulated library in front of a real Linux kernel, under QEMU.
vm:
	@scripts/setup.sh qemu-system-x86
	tests/vm/run.sh

# Power loss at every moment of every operation, with more random crashes than `make test` tries.
SEEDS ?= 60
crash: setup
	CAPSTAN_CRASH_SEEDS=$(SEEDS) $(CARGO) test --locked -p datastore --test crash -- --nocapture

bench: setup
	$(CARGO) build --release --locked --bin capstan --example tape_stream
	python3 benches/compare.py $(if $(DATA),--data "$(DATA)")

# Only whole jobs on emulated tapes beside `cat` of the same files, and what they cost the processor.
bench-tape: setup
	$(CARGO) build --release --locked --bin capstan --example tape_stream
	python3 benches/compare.py --only tape-jobs $(if $(DATA),--data "$(DATA)")

# Encryption on one core beside `openssl speed`.
bench-crypt: setup
	$(CARGO) build --release --locked -p datastore --example crypt_speed
	python3 benches/crypt.py target/release/examples/crypt_speed

# Every fuzz target for SECONDS_EACH seconds.
SECONDS_EACH ?= 60
fuzz: setup
	scripts/fuzz.sh $(SECONDS_EACH)

# Killed, crowded and starved for an hour or so; the short versions run with the tests.
hunt: setup
	CAPSTAN_KILLS=$${CAPSTAN_KILLS:-1000} CAPSTAN_CLIENTS=$${CAPSTAN_CLIENTS:-32} \
	CAPSTAN_GENERATIONS=$${CAPSTAN_GENERATIONS:-200} $(CARGO) test --release --locked --test hunt -- --nocapture --test-threads 1

# Random faults on an emulated tape library; a failing seed says how to see it again.
faults: setup
	CAPSTAN_FAULT_SEEDS=$${SEEDS:-10000} $(CARGO) test --release --locked -p pbs-tape --test faults -- --nocapture

# Random damage to emulated cartridges, each to be found by a verification and blamed on the right snapshots.
tape-damage: setup
	CAPSTAN_TAPE_DAMAGES=$${SEEDS:-1000} $(CARGO) test --release --locked -p pbs-tape --test damage -- --nocapture

# A year of nightly jobs in an emulated library on a virtual clock; SEED decides data, mishaps and choices.
year: setup
	CAPSTAN_YEAR_DAYS=$${DAYS:-365} CAPSTAN_YEAR_SEED=$${SEED:-1} $(CARGO) test --release --locked -p pbs-tape --test year -- --nocapture

# The collector and its neighbours in many orders, one by one; MODEL_ORDERS of each kind.
MODEL_ORDERS ?= 20000
model: setup
	CAPSTAN_MODEL_ORDERS=$(MODEL_ORDERS) $(CARGO) test --locked -p datastore --features model --test model

# Memory of the large operations on a sparse image of 100 GB.
bench-memory: setup
	$(CARGO) build --release --locked
	python3 benches/memory.py

# How often a modelled LTO-9 drive stops behind modelled slow disks, with and without the buffer.
bench-feed: setup
	$(CARGO) run --release --locked -p pbs-tape --example feed_model

# Media catalogs of millions of chunks: making and opening their indexes, looking chunks up.
TAPES ?= 10
CHUNKS ?= 6000000
bench-catalog: setup
	$(CARGO) build --release --locked -p pbs-tape --example catalog_scale
	benches/catalog.sh $(TAPES) $(CHUNKS)

# What an operator asks of a thousand cartridges: lists, contents, finding.
bench-inventory: setup
	$(CARGO) build --release --locked --bin capstan
	$(CARGO) build --release --locked -p pbs-tape --example catalog_scale
	python3 benches/inventory.py target/release/capstan target/release/examples/catalog_scale

# What grows with snapshots, chunks and images; the tables of docs/scale.md. Needs 6 GB of memory.
scale: setup
	$(CARGO) build --release --locked
	$(CARGO) build --release --locked -p datastore --example index_scale
	python3 benches/scale.py

# Licences, bans and sources of the dependencies; advisories where their database can be reached.
audit: setup
	scripts/audit.sh

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

build: setup
	$(CARGO) build --release --locked

setup:
	@scripts/setup.sh

clean-demo:
	rm -rf target/demo target/bench
