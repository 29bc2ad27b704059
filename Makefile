# compliance-relay. `make demo`, `make test`, `make check` and `make bench` each do all their own set-up in .venv.
PYTHON ?= python3
# How the tests run: files in parallel, one process per CPU, the slow ones of end_to_end before the many of unit. `make test PYTEST='-n 0 -k ledger'` runs some of them in order.
PYTEST ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Each process that the tests start would compile the relay anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench docs clean

demo: $(VENV)/.installed
	@$(BIN)/relay demo

test: $(VENV)/.tested
	@.ci/servers
	$(BIN)/pytest -q $(PYTEST)

check: $(VENV)/.tested
	@.ci/servers
	$(BIN)/ruff check relay tests benchmarks
	$(BIN)/ruff format --check relay tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest -q tests/architecture tests/operations

# Beside Postfix with OpenDKIM and Haraka, into benchmarks/RESULTS.md: about 35 minutes on an idle machine with two cores.
# `make bench BENCH=--quick` shows in two minutes that everything runs; `make bench BENCH='--only memory'` measures one group.
bench: $(VENV)/.tested
	@.ci/servers bench
	$(BIN)/python -m benchmarks $(BENCH)

# The documents that are generated from the code; tests keep them equal.
docs: $(VENV)/.installed
	$(BIN)/python -m relay.cli.documents docs

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(PIP) --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed pyproject.toml
	$(PIP) --editable '.[test,check]'
	@touch $@
