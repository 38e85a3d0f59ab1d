# Everything starts from a bare machine with Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DARTS_HOME ?= .darts

.PHONY: install demo ui test lint lock bench clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	touch $@

demo: install        ## two synthetic scenes, small models, the whole graph; opens nothing
	$(BIN)/darts-assets demo

ui: install          ## the Dagster UI on http://127.0.0.1:3000
	$(BIN)/darts-assets ui

test: install        ## everything that this machine can run; the rest is skipped with its reason
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install       ## prints each measured claim of benchmarks/README.md
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

lock: install        ## after a change of dependencies in pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --extra dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .darts
