# make demo    the whole of it on real music: train, evaluate, write a chorale, export
# make test    every test; DATA_PATH=folder runs those that need the benchmark data as well
# make lint    ruff
#
# Each makes the virtual environment .venv first. Other builds of the backends:
#   make demo TENSORFLOW=tensorflow     where there is no tensorflow-cpu, or for a GPU
#   make test TORCH=torch==X+cpu        where plain torch would bring gigabytes of CUDA

PYTHON ?= python3
TENSORFLOW ?= $(if $(filter Darwin,$(shell uname)),tensorflow,tensorflow-cpu)
JAX ?= jax[cpu]
TORCH ?= torch==2.13.0
RUFF ?= ruff==0.17.6
DATA_PATH ?=
JOBS ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Tests and training run on small matrices: threads of one operation only wait for each other.
export TF_NUM_INTRAOP_THREADS ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint clean

demo: .venv/demo
	$(BIN)/deep-rnn demo --overwrite

test: .venv/test
	$(BIN)/python -m pytest -n $(JOBS) $(if $(DATA_PATH),--data-path=$(DATA_PATH)) tests

lint: .venv/lint
	$(BIN)/ruff check .

clean:
	rm -rf .venv

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/lint: Makefile | .venv/made
	$(PIP) install --quiet '$(RUFF)'
	touch $@

.venv/demo: pyproject.toml setup.py | .venv/made
	@echo "Installing into .venv (a few minutes the first time)"
	$(PIP) install --quiet -e '.[$(TENSORFLOW),cli,data,music,plots]'
	touch $@

.venv/test: .venv/demo
	$(PIP) install --quiet -e '.[test]' '$(JAX)' '$(TORCH)'
	touch $@
