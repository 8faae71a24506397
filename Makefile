# Two commands do everything on a fresh machine: `make demo` and `make test`. They need Python 3.11 to 3.13 and make.
SHELL := bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := data/demo
TESTS ?= retrain_pipeline_tests
# Processes of tests. Those with real daemons and servers mostly wait, so more than there are cores can be worth it.
WORKERS ?= 3
# Tests keep their stores in memory where the machine has room for them: half of a Dagster run waits for a disk otherwise.
SCRATCH = if [ -w /dev/shm ] && [ $$(df -k --output=avail /dev/shm | tail -1) -gt 6000000 ]; then \
  export TMPDIR=$$(mktemp -d /dev/shm/retrain.XXXXXX); chmod 711 $$TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT; fi;
# Compiled modules are kept, in the environment that this file makes: else each process compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=
# One thread a fit: results do not depend on the machine, and two test processes do not fight for two cores.
export OMP_NUM_THREADS ?= 1
export DO_NOT_TRACK ?= 1

.PHONY: demo ui serve test check bench mutate coverage-of-promises lock clean

demo: .venv/.run  ## a simulated lending world, period after period, through real Dagster runs
	$(BIN)/retrain demo --home $(DEMO)

ui: .venv/.run  ## Dagster's UI and daemon over the demo's state, on this machine only
	@test -f $(DEMO)/dagster/dagster.yaml || { echo "make ui: no demo state in $(DEMO); run 'make demo' first"; exit 1; }
	RETRAIN_HOME=$(CURDIR)/$(DEMO) DAGSTER_HOME=$(CURDIR)/$(DEMO)/dagster $(BIN)/dagster dev -h 127.0.0.1 -p 3000 -w workspace.yaml

serve: .venv/.run  ## the same over your own state (RETRAIN_HOME, by default data/state)
	mkdir -p $${RETRAIN_HOME:-data/state}/dagster
	test -f $${RETRAIN_HOME:-data/state}/dagster/dagster.yaml || cp dagster.yaml $${RETRAIN_HOME:-data/state}/dagster/
	DAGSTER_HOME=$$(realpath $${RETRAIN_HOME:-data/state}/dagster) RETRAIN_HOME=$$(realpath $${RETRAIN_HOME:-data/state}) \
	  $(BIN)/dagster dev -h 127.0.0.1 -p 3000 -w workspace.yaml

test: .venv/.test  ## every test, and the coverage that must hold
	$(SCRATCH) $(BIN)/python -m slipcover --source $(CURDIR)/retrain_pipeline --json --out .coverage.json \
	  -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)
	$(BIN)/python -m slipcover --merge .coverage.json --out .coverage.json --skip-covered --fail-under 90

check: .venv/.test  ## lint, types, import contracts, definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q --severity-level medium -c pyproject.toml -r retrain_pipeline
	$(BIN)/dg check yaml
	$(BIN)/retrain check
	$(BIN)/dg check defs

bench: .venv/.test
	$(BIN)/python -m retrain_pipeline_tests.bench

mutate: .venv/.test .mutmut  ## mutants of what decides: docs/benchmarks/mutation.md
	$(SCRATCH) PYTHONPATH=.mutmut $(BIN)/python -m mutmut run --max-children 2
	PYTHONPATH=.mutmut $(BIN)/python -m mutmut results

# Beside the environment, not in it: nothing else needs it, and its dependencies are not pinned with ours.
.mutmut: | .venv/.test
	$(PIP) install --quiet --no-deps --target $@ mutmut==3.8.1 coverage==7.17.3 libcst==1.9.0 textual==8.2.8 setproctitle==1.3.8 click==8.5.1

coverage-of-promises: .venv/.test  ## which requirement, fault and Dagster fact has a passing test
	$(SCRATCH) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --promises $(TESTS)

lock:  ## pin anew (needs uv); the files name no host
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" requirements/test.in -o requirements/test.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -c requirements/test.txt requirements/run.in -o requirements/run.txt

clean:  ## the environment, caches and the demo's state; nothing of yours
	rm -rf .venv $(DEMO) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage.json .mutmut mutants

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11, 3.12 or 3.13 on the PATH (or PYTHON=/path/to/it)"; exit 1; }
	$(PYTHON) -m venv .venv

# The files pin the whole closure, so pip need not resolve it (and its hash mode stumbles over extras).
.venv/.run: requirements/run.txt pyproject.toml | .venv/bin/python
	$(PIP) install --quiet --no-compile --no-deps --require-hashes -r requirements/run.txt
	$(PIP) install --quiet --no-compile --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/.test: requirements/test.txt .venv/.run
	$(PIP) install --quiet --no-compile --no-deps --require-hashes -r requirements/test.txt
	@touch $@
