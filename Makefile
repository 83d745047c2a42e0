# From a fresh checkout, with python3 (3.11 or later), make and git:
#
#   make test     every test (as root, those of the lab too)
#   make lint     ruff, mypy, import floors
#   make demo     a sweep of 65 536 addresses in a lab of its own (root)
#   make bench    beside its peers, on the same lab (root)
#   make fuzz     captures made up by a fuzzer, for ten minutes (FUZZ_SECONDS)
#   make pcaps    the recorded cases again, or ARGS='open-tcp nmap-udp' (root)
#
# PYTHON=python3.12 chooses the interpreter, VENV=.venv-3.12 the environment's folder,
# ARGS='-k cookie -x' goes to pytest.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
export PYTHON VENV
export PATH := $(PATH):/usr/sbin:/sbin

BIN := $(VENV)/bin
PY := $(BIN)/python

.PHONY: help setup lab-packages demo test lint format bench fuzz pcaps lock clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@.ci/bootstrap

lab-packages:
	@.ci/lab-packages

# Without its packages the lab's tests are skipped, and say so.
.PHONY: lab-if-possible
lab-if-possible:
	@.ci/lab-packages || true

demo: setup lab-if-possible
	@GHOSTPORT=$(BIN)/ghostport tests/demo.sh

test: setup lab-if-possible
	@$(PY) -m pytest $(ARGS)

lint: setup
	@status=0; \
	for check in 'ruff check' 'ruff format --check' mypy 'lint-imports --no-cache --no-logo'; do \
		echo "$$check"; $(BIN)/$$check || status=1; \
	done; exit $$status

format: setup
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# BENCH_RUNS=3 for fewer rounds, ARGS='tcp udp' for some of the cases: tests/bench/cases.py has them, and `large`, of
# 4 GB, which is run by its name alone. What was measured is kept in out/bench.json;
# `python -m tests.bench.figures out/bench.json tests/bench/figures.svg` draws it.
bench: setup lab-if-possible
	@$(PY) -m tests.bench $(ARGS)

# Without wheels of atheris for this Python it says so and fails; the tests fuzz as well, by hypothesis.
FUZZ_SECONDS ?= 600
fuzz: setup
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
	    -r requirements/fuzz.txt
	@$(PY) -m tests.fuzz $(FUZZ_SECONDS) $(ARGS)

pcaps: setup lab-if-possible
	@$(PY) -m tests.replay.record $(ARGS)

lock:
	@.ci/lock $(ARGS)

clean:
	rm -rf $(VENV) build dist out ghostport.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find scanner tests -name __pycache__ -type d -prune -exec rm -rf {} +
