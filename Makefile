PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.PHONY: install serve test tools lint format bench load clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml model/kernels/native/kernels.cpp $(wildcard model/kernels/native/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test,bench,evaluate]'
	touch $@

serve: install
	$(BIN)/kakehashi serve

test: install tools
	$(BIN)/python -m pytest

# Redis, Prometheus and nginx: tests and benchmarks run real ones, and are never skipped. Those that PATH lacks are
# unpacked into .tools; nothing is installed on the machine.
tools:
	@tests/tools.sh

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install tools
	$(BIN)/python -m loadtests.bench

# LOAD_HOST, LOAD_SECONDS, LOAD_CLASS, LOAD_SHAPE and the like choose; the README has them all.
load: install
	$(BIN)/python -m loadtests.locust.run $(LOAD_FLAGS)

clean:
	rm -rf $(VENV) $(TOOLS) build dist load-report *.egg-info model/kernels/_kernels*.so
