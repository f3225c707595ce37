# Each target makes its own environment when needed; Python 3.11 or newer with venv is all it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 4
# Each worker has a part of its own, which others help it with at the end: what waits and what computes goes on together.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
# Thousands of real processes at once are late now and then, on a busy machine: what failed beside the others is run once
# more, by itself, and decides. The first failure stays in what is printed, for whoever looks for a race in the product.
ALONE := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --exitfirst

.PHONY: demo quick test test-full check bench screens completions clean

demo: $(READY)
	$(BIN)/notifyctl demo

# For while one works; `make test` is what has to pass.
quick: $(READY)
	$(PYTEST) -m "not full and not slow"

test: $(READY)
	$(PYTEST) -m "not full" || { test $$? = 1 && $(ALONE) -m "not full"; }

test-full: $(READY)
	$(PYTEST) || { test $$? = 1 && $(ALONE); }

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry notifyctl

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

# What the README shows, drawn of the demo's data.
screens: $(READY)
	$(BIN)/python -m tests.screens

completions: $(READY)
	$(BIN)/python -m notifyctl.cli.outline > .commands.json && mv .commands.json notifyctl/cli/commands.json
	$(BIN)/notifyctl completion show bash > completions/notifyctl.bash
	$(BIN)/notifyctl completion show zsh > completions/_notifyctl
	$(BIN)/notifyctl completion show fish > completions/notifyctl.fish
	$(BIN)/notifyctl completion show powershell > completions/notifyctl.ps1

clean:
	rm -rf $(VENV) .venv-bench* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
