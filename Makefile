# compliance-relay. `make demo` and `make test` each do all their own set-up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench docs clean

demo: $(VENV)/.installed
	$(BIN)/relay demo

test: $(VENV)/.tested
	.ci/servers
	$(BIN)/pytest

check: $(VENV)/.tested
	$(BIN)/ruff check relay tests
	$(BIN)/ruff format --check relay tests
	$(BIN)/mypy
	.ci/servers
	$(BIN)/pytest -q tests/architecture tests/operations

# The documents that are generated from the code; tests keep them equal.
docs: $(VENV)/.installed
	$(BIN)/python -m relay.cli.documents docs

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	touch $@
