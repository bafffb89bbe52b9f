# `make run` and `make test` do everything, set-up included. Python 3.11 or later is all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run dashboard superset superset-distributed run-distributed test test-stack test-alone simulate lint bench bench-store bench-stack bench-questions docs screenshots format lock clean stack-up stack-down

help: ## Show what there is to make.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

run: $(VENV)/run.stamp ## Run the bank, embedded, on 127.0.0.1:8080.
	$(BIN)/mainstem run

stack-up: $(VENV)/run.stamp ## Start MySQL, Kafka, Connect, ZooKeeper, Druid without a container engine; deploy the bank.
	$(BIN)/python -m deploy up

stack-down: $(VENV)/run.stamp ## Stop what stack-up has started; its data stays in .stack.
	$(BIN)/python -m deploy down

dashboard: $(VENV)/run.stamp ## Show the bank that runs, in a browser at 127.0.0.1:8090.
	$(BIN)/mainstem dashboard

superset: $(VENV)/run.stamp .superset/stamp ## Show the bank that runs in Superset, at 127.0.0.1:8088.
	$(BIN)/python -m deploy superset

superset-distributed: $(VENV)/run.stamp .superset/stamp ## The same of the bank on the stack.
	$(BIN)/python -m deploy superset --form distributed

run-distributed: stack-up ## Run the bank on that stack: HTTP on 127.0.0.1:8080, two processes that keep the views.
	$(BIN)/python -m deploy run

test: $(VENV)/dev.stamp ## Run all tests: those of the real stack, which wait most of their time, and beside them the others.
	$(MAKE) --jobs 2 --keep-going --no-print-directory test-stack test-alone

test-stack test-alone: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m $(if $(filter test-stack,$@),stack,"not stack")

simulate: $(VENV)/run.stamp ## Run the bank with simulated faults for a minute; SEED, RUNS, SECONDS, STEPS choose otherwise.
	$(BIN)/python -m mainstem.testing.simulation bank.simulation:simulation $(foreach name,SEED RUNS SECONDS STEPS,$(SIMULATE_$(name)))

SIMULATE_SEED := $(SEED:%=--seed %)
SIMULATE_RUNS := $(RUNS:%=--runs %)
SIMULATE_SECONDS := $(SECONDS:%=--seconds %)
SIMULATE_STEPS := $(STEPS:%=--steps %)

lint: $(VENV)/dev.stamp ## Check style, types and the import arrows.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp .bench/stamp ## Measure, each figure beside a peer or a limit; takes about seven minutes.
	PYTHONPATH=. $(BIN)/python benchmarks/all.py

bench-store: $(VENV)/dev.stamp .bench/message-db.stamp ## Measure the event store beside its peers; takes about five minutes.
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/verify.py

bench-stack: $(VENV)/dev.stamp .bench/stamp .bench/quix.stamp ## Measure the distributed form, on a stack of its own; takes about twenty minutes.
	PYTHONPATH=. $(BIN)/python benchmarks/stack.py

bench-questions: $(VENV)/dev.stamp ## Ask DuckDB, Druid and MySQL ten questions over 1, 10 and 50 million withdrawals; takes an hour and 25 GB.
	PYTHONPATH=. $(BIN)/python benchmarks/questions.py

docs: $(VENV)/dev.stamp ## Build the documentation into build/docs.
	$(BIN)/sphinx-build -W -q -b html docs build/docs

screenshots: $(VENV)/dev.stamp .superset/stamp ## Take the pictures of the dashboard that the documentation shows; needs Chromium.
	PYTHONPATH=. $(BIN)/python -m tests.screenshots

format: $(VENV)/dev.stamp ## Bring all code into its form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/dev.stamp ## Pin the current versions of everything, without download addresses.
	$(BIN)/uv pip compile $(LOCK) --upgrade --extra build --extra postgres --extra dashboard --extra dev -o requirements/dev.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --upgrade --extra build --extra postgres --extra dashboard -c requirements/dev.lock -o requirements/run.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --upgrade -c requirements/run.lock --override benchmarks/peer.override -o requirements/peer.lock benchmarks/peer.in
	$(BIN)/uv pip compile $(LOCK) --upgrade -o requirements/peer-quix.lock benchmarks/peer_quix.in
	$(BIN)/uv pip compile $(LOCK) --upgrade -o requirements/superset.lock requirements/superset.in

clean: ## Remove what was built; data stays.
	rm -rf $(VENV) .bench .superset build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Superset wants older releases of what the bank uses, so it has an environment of its own.
.superset/stamp: requirements/superset.lock
	@echo "Installing Superset; this takes about a minute."
	$(PYTHON) -m venv .superset
	.superset/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/superset.lock
	@touch $@

.bench/stamp: requirements/peer.lock
	$(PYTHON) -m venv .bench
	.bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/peer.lock
	@touch $@

# Quix Streams wants an older client of Kafka than FastStream.
.bench/quix.stamp: requirements/peer-quix.lock | .bench/stamp
	$(PYTHON) -m venv .bench/quix
	.bench/quix/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/peer-quix.lock
	@touch $@

# Message DB, on which Protean keeps events, are SQL scripts from npm, for a PostgreSQL that is there (Debian: postgresql).
.bench/message-db.stamp: .bench/stamp
	@if command -v npm >/dev/null; \
	then npm install --prefix .bench --no-save --no-package-lock --ignore-scripts --no-audit --no-fund @eventide/message-db@1.3.1; \
	else echo "Without npm there is no Message DB: Protean is not measured."; fi
	@touch $@

$(VENV)/run.stamp: requirements/run.lock pyproject.toml | $(VENV)/python.stamp
	@echo "Installing what the application needs; this takes about half a minute."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml | $(VENV)/python.stamp
	@echo "Installing what the tests need; this takes about a minute."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
