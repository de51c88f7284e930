PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install serve test lint format bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml model/native/kernels.cpp $(wildcard model/native/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test,bench,evaluate]'
	touch $@

serve: install
	$(BIN)/kakehashi serve

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m loadtests.bench

clean:
	rm -rf $(VENV) build dist *.egg-info model/_kernels*.so
