# Works on a fresh clone with git, Python 3.11 or later, make and pip. Every target makes the .venv it needs from the
# locked requirements; nothing is installed outside it.

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter that runs and is new enough. 3.11 and 3.12 come first: for them the tests' own Redis server
# exists as a wheel. Choose another with `make PYTHON=python3.13 …`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python3.13 python3.14 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Two at a time: the tests mostly wait, for servers and for processes.
PYTEST_ARGS ?= -n 2

.PHONY: help demo test test-faults soak check format docs build bench bench-quick lock clean

help:
	@echo "make demo    run real work on this machine, with nothing installed but the package"
	@echo "make test    run the tests"
	@echo "make test-faults  the slow ones: long outages, failovers, full disks; 20 minutes at most"
	@echo "make soak    real workers under random faults, judged by what they did; MINUTES=, SEED=, TRANSPORT=, FAULTS="
	@echo "make check   formatting, lint, types, import rules, generated docs, known vulnerabilities"
	@echo "make format  mend formatting and what the linter can mend"
	@echo "make docs    build the documentation into site/"
	@echo "make build   build wheel and sdist into dist/"
	@echo "make bench   measure beside the peers, about half an hour; make bench-quick: three minutes"
	@echo "make lock    resolve requirements/*.txt anew from pyproject.toml"
	@echo "make clean   remove everything that make made"

demo: $(VENV)/base.stamp
	$(BIN)/heracles demo

# A redis-server on PATH is used; else the 6.2 that the test requirements bring serves all tests.
test: $(VENV)/dev.stamp
	@REDIS_SERVER="$${REDIS_SERVER:-$$(command -v redis-server || $(BIN)/python scripts/redis_server.py)}" \
		$(BIN)/python -m pytest $(PYTEST_ARGS)

test-faults: $(VENV)/dev.stamp
	@REDIS_SERVER="$${REDIS_SERVER:-$$(command -v redis-server || $(BIN)/python scripts/redis_server.py)}" \
		$(BIN)/python -m pytest $(PYTEST_ARGS) -m slow_fault

# Ten minutes of killed and frozen processes, cut connections, servers that go and come back. TRANSPORT: redis, sqlite,
# sentinel, cluster; FAULTS: their names, separated by commas; SEED repeats a run as far as processes allow.
MINUTES ?= 10
TRANSPORT ?= redis
soak: $(VENV)/dev.stamp
	@REDIS_SERVER="$${REDIS_SERVER:-$$(command -v redis-server || $(BIN)/python scripts/redis_server.py)}" \
		$(BIN)/python -m tests.soak --minutes=$(MINUTES) --transport=$(TRANSPORT) $(if $(SEED),--seed=$(SEED)) \
		$(if $(FAULTS),--faults=$(FAULTS)) $(SOAK_ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/options_table.py --check
	$(BIN)/python scripts/audit.py requirements/*.txt

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/options_table.py

docs: $(VENV)/dev.stamp
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet docs site
	@echo "The documentation is in site/index.html"

build: $(VENV)/base.stamp
	$(BIN)/python -m build --no-isolation

# The peers go into environments of their own below .cache/, and so do the results. For BENCH_ARGS see
# python -m benchmarks --help.
bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks --size full $(BENCH_ARGS)

bench-quick: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks --size quick $(BENCH_ARGS)

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" pyproject.toml $(LOCK_ARGS)
lock: $(VENV)/dev.stamp
	$(COMPILE) --group build --output-file requirements/base.txt
	$(COMPILE) --extra uvloop --group dev --constraint requirements/base.txt --output-file requirements/dev.txt

# Where the distribution keeps ensurepip apart, the interpreter's own pip fills the environment.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make needs Python 3.11 or later on PATH, or PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --without-pip --clear $(VENV) \
		&& $(PYTHON) -m pip --python $(VENV) install --quiet pip; }

# The package is installed editable and built by the locked build backend.
$(VENV)/base.stamp: requirements/base.txt pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes --requirement requirements/base.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/base.stamp
	$(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt
	@touch $@

clean:
	rm -rf $(VENV) site dist build .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
