# Two commands for a fresh machine: `make run` serves the demo, `make test` runs the tests.
# Both set everything up first. Only Python 3.11+ and make are needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv from the PATH if there is one; else a private one in .tools/, which pip puts there.
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
INSTALLED := $(VENV)/.installed
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test fuzz bench lint format lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED) ## install the locked, hashed dependencies and the command .venv/bin/device-status

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check "uv>=0.9"

# Remade when what is installed could have changed; --no-build-isolation lets even the build
# back end come from the lock file.
$(INSTALLED): requirements.lock pyproject.toml | $(if $(filter .tools/bin/uv,$(UV)),.tools/bin/uv)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, but $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=")'
	test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## serve a demonstration school on http://127.0.0.1:8000
	$(BIN)/device-status serve --demo

test: setup ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: setup ## run the benchmarks, which takes a quarter of an hour and two idle cores
	$(BIN)/python -m benchmarks --output benchmarks/results/results.json

fuzz: setup ## hold mutated conversations with the service until one breaks something
	while FUZZ_CONVERSATIONS=20000 $(BIN)/python -m pytest tests/fuzz --quiet $(PYTEST_ARGS); do :; done; exit 1

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## let ruff format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve the dependencies anew into requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes pyproject.toml --group dev -o requirements.lock

clean: ## remove what setup and the tests made
	rm -rf $(VENV) .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
