# make demo    the whole of it on real music: train, evaluate, write a chorale, export
# make test    every test; DATA_PATH=folder runs those that need the benchmark data as well
# make test-fast    within a minute: the tests that are not marked as slow, nor start processes
# make lint    ruff, and basedpyright for the types
# make docs    the site: build/site/index.html
# make bench   times of the loops over time, docs/performance.md; DATA_PATH=folder as for the tests
#
# Each makes the virtual environment .venv first. Other builds of the backends:
#   make demo TENSORFLOW=tensorflow     where there is no tensorflow-cpu, or for a GPU
#   make test TORCH=torch==X+cpu        where plain torch would bring gigabytes of CUDA

PYTHON ?= python3
TENSORFLOW ?= $(if $(filter Darwin,$(shell uname)),tensorflow,tensorflow-cpu)
JAX ?= jax[cpu]
# A version, because pip then prefers a build X+cpu where it finds one; for "torch" alone it may
# take a newer release instead, which on Linux comes with CUDA.
TORCH ?= torch==2.13.0
# Without its dependencies: it requires tensorflow, also where tensorflow-cpu is installed.
SERVING_API ?= tensorflow-serving-api>=2.21
RUFF ?= ruff==0.17.6
# pyright as PyPI has it: the package `pyright` downloads itself from npm when it is first run.
PYRIGHT ?= basedpyright==1.40.2
DATA_PATH ?=
JOBS ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-fast lint docs bench clean FORCE

demo: .venv/demo
	$(BIN)/deep-rnn demo --overwrite

# Tests run on small matrices: threads of one operation only wait for each other.
test: export TF_NUM_INTRAOP_THREADS ?= 1
test: .venv/test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
	  $(if $(DATA_PATH),--data-path="$(DATA_PATH)") tests

test-fast: export TF_NUM_INTRAOP_THREADS ?= 1
test-fast: .venv/test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not process" tests

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lint
	$(BIN)/python -W ignore setup.py -q build_py --build-lib build/lint
	$(BIN)/basedpyright

# Whatever Sphinx warns of, such as a broken link, ends it.
docs: .venv/docs
	$(BIN)/python -W ignore -m sphinx -W --keep-going -q -d build/doctrees docs build/site

# The threads of a user who has set nothing; BENCH="--only step" and the like go to the command.
bench: .venv/test
	env -u TF_NUM_INTRAOP_THREADS $(BIN)/python -m benchmarks \
	  $(if $(DATA_PATH),--data-path="$(DATA_PATH)") $(BENCH)

clean:
	rm -rf .venv build/lint build/doctrees build/site

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	touch $@

# Types are checked against what the package uses, so that all of it is installed.
.venv/lint: Makefile pyproject.toml .venv/test | .venv/made
	$(PIP) install --quiet '$(RUFF)' '$(PYRIGHT)'
	touch $@

# The reference is made of the package as it is imported, which takes every extra.
.venv/docs: pyproject.toml .venv/test | .venv/made
	$(PIP) install --quiet -e '.[docs]'
	touch $@

# Which backends are installed: looked at each time, written only when another one is chosen. Both
# builds of TensorFlow install the same files, so that the old one goes first.
.venv/tensorflow: FORCE | .venv/made
	@echo '$(TENSORFLOW)' | cmp -s - $@ || { \
	  $(PIP) uninstall -qq --yes tensorflow tensorflow-cpu && echo '$(TENSORFLOW)' > $@; }

.venv/others: FORCE | .venv/made
	@echo '$(JAX) $(TORCH)' | cmp -s - $@ || echo '$(JAX) $(TORCH)' > $@

.venv/demo: pyproject.toml setup.py .venv/tensorflow | .venv/made
	@echo "Installing into .venv (a few minutes the first time)"
	$(PIP) install --quiet -e '.[$(TENSORFLOW),cli,data,music,plots,serving]'
	$(PIP) install --quiet --no-deps '$(SERVING_API)'
	touch $@

.venv/test: .venv/demo .venv/others
	$(PIP) install --quiet -e '.[test]' '$(JAX)' '$(TORCH)'
	touch $@
