# git, make and Python 3.11 or newer are all that is assumed; every target sets up what it needs, once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CHECKOV := $(VENV)/checkov
CHECKOV_STAMP := $(CHECKOV)/.installed

# The votes of a demo, further options of a command (make demo ARGS=--once), the seeds of a simulation, pytest's options.
VOTES ?= 20000
ARGS ?=
SEEDS ?= 1000
TESTS ?=

.PHONY: help venv up demo test test-under-load test-fast mutate check format bench simulate lock clean

help: ## what there is
	@echo "Turnout: make TARGET"
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' Makefile | while IFS='|' read -r target text; do printf '  %-15s %s\n' "$$target" "$$text"; done

venv: $(STAMP) ## the virtual environment with everything in it

# The recipe ends with the stamp, so that an installation that was cut off is done again.
$(STAMP): requirements-dev.txt pyproject.toml
	@python=; for candidate in python3.14 python3.13 python3.12 python3.11 python3 python; do \
		if command -v "$$candidate" >/dev/null 2>&1 \
			&& "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python="$$candidate"; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Turnout needs Python 3.11 or newer, and none is on PATH. Install one (Debian: apt install python3-venv; macOS: brew install python)." >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
		echo "$$python cannot make virtual environments: its ensurepip is missing. Install it (Debian, Ubuntu: apt install $$python-venv)." >&2; \
		exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ]; then \
		echo "Making the virtual environment $(VENV) with $$($$python --version) ..."; \
		"$$python" -m venv $(VENV); \
	fi
	@echo "Installing what requirements-dev.txt locks into $(VENV) (once; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@# A warning about editable installations says nothing that a user could mend.
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# In an environment of its own: it pins old versions of much that Turnout uses.
$(CHECKOV_STAMP): requirements-checkov.txt $(STAMP)
	@if [ ! -x $(CHECKOV)/bin/python ]; then $(BIN)/python -m venv $(CHECKOV); fi
	@echo "Installing checkov, which checks terraform/ for security, into $(CHECKOV) (once) ..."
	@$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-checkov.txt
	@touch $@

up: $(STAMP) ## the local cloud, until Ctrl-C
	@exec $(BIN)/turnout up $(ARGS)

demo: $(STAMP) ## a poll from its votes to its tally on the local cloud: make demo VOTES=500000 ARGS=--once
	@exec $(BIN)/turnout demo --votes $(VOTES) $(ARGS)

test: check $(CHECKOV_STAMP) ## the whole test suite
	@exec $(BIN)/python -m pytest $(TESTS)

test-under-load: $(STAMP) $(CHECKOV_STAMP) ## the suite beside busy loops, in four orders (an hour)
	@exec $(BIN)/python -m tests.under_load $(TESTS)

test-fast: $(STAMP) ## what needs no emulator, in a minute: rules, contracts in memory, simulation
	@exec $(BIN)/python -m pytest -m fast -p no:schemathesis $(TESTS)

mutate: $(STAMP) ## mistakes in the code, and whether a test finds each: make mutate ARGS="--sample 40 --seed 7"
	@exec $(BIN)/python -m tests.mutation $(ARGS)

check: $(STAMP) ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## mend what can be mended by a tool
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## the figures of this machine
	@exec $(BIN)/python -m benchmarks $(ARGS)

simulate: $(STAMP) ## many seeded runs with every fault: make simulate SEEDS=100000 ARGS=queue
	@exec $(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

# The files that pip reads with --require-hashes: what is deployed, and what is developed and tested with.
LOCK := $(BIN)/python -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: ## lock the dependencies anew (needs pip-tools in the environment)
	@$(LOCK) --output-file requirements.txt pyproject.toml
	@$(LOCK) --extra local --extra bench --extra dev --output-file requirements-dev.txt pyproject.toml
	@$(LOCK) --output-file requirements-checkov.txt requirements-checkov.in

clean: ## remove the virtual environment, caches and the local cloud's state
	@rm -rf $(VENV) .turnout .mutation .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
