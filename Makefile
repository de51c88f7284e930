# The first of these that is there.
PYTHON ?= $(firstword $(foreach each,python3.11 python3.12 python3.13,$(shell command -v $(each))) python3)
# The index that has torch without CUDA. Empty: whatever pip finds.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .tools
LOCK := deploy/docker/requirements.txt
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
# Otherwise each of the hundred servers that the tests start would compile the sources again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install serve test tools lint format docs picture hooks ci bench load chaos fuzz soak lock audit clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

install: $(VENV)/.installed ## set up .venv with everything below

$(VENV)/.installed: pyproject.toml deploy/constraints.txt $(wildcard model/kernels/native/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@deploy/install.sh $(BIN)/python "$(TORCH_INDEX)"
	touch $@

serve: install ## serve the bundled model on http://127.0.0.1:8000
	$(BIN)/kakehashi serve

# A file stays in one process, for its fixtures; in the order of the tree, files that take long come first.
test: install tools ## run every test
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Tests and benchmarks run real servers. Those that PATH lacks are unpacked into .tools; nothing is installed on the
# machine.
tools: ## fetch what the tests run besides Python, where it is missing
	@tests/tools.sh

lint: install ## run ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## reformat the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## regenerate docs/configuration.md
	$(BIN)/python -m service.configuration_page > docs/configuration.md

picture: install tools ## take the README's picture of the playground anew
	$(BIN)/python -m tests.support.playground_picture docs/images/playground.png

hooks: install ## install git hooks: lint at each commit, test before each push
	$(BIN)/pre-commit install

ci: ## run what must pass before a change lands
	.ci/run

bench: install tools ## run all benchmarks
	$(BIN)/python -m loadtests.bench

# LOAD_HOST, LOAD_SECONDS, LOAD_CLASS, LOAD_SHAPE and the like choose; docs/benchmarking.md has them all.
load: install ## run the load test, against LOAD_HOST or a server of its own
	$(BIN)/python -m loadtests.locust.run $(LOAD_FLAGS)

# TRIAL_FLAGS: --seconds, --seed and the like; docs/reliability.md explains the reports.
chaos: install tools ## kill and stop processes under clients of all kinds, for 3 minutes
	$(BIN)/python -m loadtests.reliability chaos $(TRIAL_FLAGS)

fuzz: install ## send 10,000 requests that nobody should send
	$(BIN)/python -m loadtests.reliability fuzz $(TRIAL_FLAGS)

soak: install ## hold a server at 80 % of its capacity for 30 minutes
	$(BIN)/python -m loadtests.reliability soak $(TRIAL_FLAGS)

# torch is left out, because its builds differ by target; the hashes are those of all platforms. No address of an index
# gets into the file, whatever pip's configuration is.
lock: install ## write the versions and hashes that the images install
	$(BIN)/python -m pip install --quiet "pip-tools>=7.6,<8"
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --no-emit-options --strip-extras \
		--unsafe-package torch --output-file $(LOCK) pyproject.toml
	sed -i '/considered to be unsafe/,$$d' $(LOCK)

audit: install ## look for known vulnerabilities of the locked packages at PyPI
	$(BIN)/python -m pip install --quiet "pip-audit>=2.10,<3"
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement $(LOCK)

clean: ## remove .venv, .tools and everything that was built
	rm -rf $(VENV) $(TOOLS) build dist load-report *.egg-info model/kernels/_*.so
