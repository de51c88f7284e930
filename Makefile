PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install serve test redis-server lint format bench load clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml model/native/kernels.cpp $(wildcard model/native/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test,bench,evaluate]'
	touch $@

serve: install
	$(BIN)/kakehashi serve

test: install redis-server
	$(BIN)/python -m pytest

# The tests and the benchmark of the shared cache run against a real one, and are never skipped.
redis-server:
	@command -v redis-server >/dev/null && exit; \
	command -v apt-get >/dev/null || { echo "tests and benchmarks need redis-server (7 or later) on PATH; please install it" >&2; exit 1; }; \
	as_root=; test "$$(id -u)" = 0 || as_root=sudo; \
	$$as_root apt-get update --quiet && $$as_root apt-get install --quiet --yes --no-install-recommends redis-server

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install redis-server
	$(BIN)/python -m loadtests.bench

# LOAD_HOST, LOAD_SECONDS, LOAD_CLASS, LOAD_SHAPE and the like choose; the README has them all.
load: install
	$(BIN)/python -m loadtests.swarm $(LOAD_FLAGS)

clean:
	rm -rf $(VENV) build dist load-report *.egg-info model/_kernels*.so
