.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit("leafstream needs Python 3.11 or newer; set PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV_READY): pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,postgres,redis]'
	@touch $@ $(READY)

.PHONY: serve
serve: $(READY) ## set up, fetch the default model and serve on 127.0.0.1:8000
	@exec $(BIN)/leafstream serve

.PHONY: test
test: $(DEV_READY) ## set up, then lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.debian postgresql redis-server nginx-light
	$(BIN)/pytest

.PHONY: bench
bench: $(DEV_READY) ## measure; writes bench/results/bench.json
	$(BIN)/pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	$(BIN)/python -m bench

.PHONY: budgets
budgets: $(DEV_READY) ## answers at every budget on the real model, half an hour; see docs/reliability.md
	$(BIN)/python -m bench.budgets

.PHONY: format
format: $(DEV_READY) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
