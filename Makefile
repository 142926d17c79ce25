# Leadwise in two commands: `make run` and `make test`. Both build .venv from the lock files first.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# Named on the command line only: a variable of the same name in the environment is someone else's.
DATA =
DEST = data/ptbxl
CONFIG = $(if $(DATA),,demo)
FEATURES =
# What tuning found on PTB-XL is the default there.
TUNE = $(if $(DATA),false,true)
MODEL = leadwise-demo
URL =
PORT =
ARGS =

export MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db

VENV := .venv
BIN := $(VENV)/bin
# The environment's own programs first: MLflow, DVC and their children start `python`, `mlflow`, `uv` and `uvicorn`.
WITH_ENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# Compiled when they are installed: every stage is a process of its own, and each would compile TensorFlow and the others
# anew, ten seconds of it, where PYTHONDONTWRITEBYTECODE is set, as in many images.
UV_INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python

.PHONY: help run download test test-spark pyspark lint format env repro ui serve app lock files readme

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: env ## the whole pipeline on simulated data; DATA=DIR: a PTB-XL tree; CONFIG=demo|original; FEATURES=original|clinical; TUNE=true|false (true without DATA); ARGS="-P name=value"
	@if [ -n "$(DATA)" ] && [ ! -d "$(DATA)" ]; then echo "DATA=$(DATA): not a folder; expected a PTB-XL tree" >&2; exit 2; fi
	$(WITH_ENV) python -m leadwise.tracking_store leadwise
	$(WITH_ENV) mlflow run . --env-manager local --experiment-name leadwise \
		$(if $(DATA),-P source="$(DATA)" -P workspace=workspace/ptbxl$(if $(CONFIG),-$(CONFIG))) \
		$(if $(CONFIG),-P configuration=$(CONFIG)) $(if $(FEATURES),-P feature-set=$(FEATURES)) \
		-P with-tuning=$(TUNE) $(ARGS)

download: env ## PTB-XL from PhysioNet (0.54 GB), or what of it is missing; DEST=data/ptbxl; ARGS: for leadwise download
	$(WITH_ENV) leadwise download "$(DEST)" $(ARGS)

test: lint ## linters and tests; ARGS="tests/data -x": a part of the tests
	$(WITH_ENV) python -m pytest -n 2 $(ARGS)

# Not in the lock, as its source distribution has 480 MB; not in .venv, where Great Expectations would look for it.
WITH_SPARK := $(WITH_ENV) VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv run --quiet --active --no-project --no-sync --with pyspark==4.3.0
pyspark: env $(VENV)/.dev
	$(WITH_SPARK) python -c "import pyspark"

test-spark: pyspark ## the tests of Spark, with PySpark beside .venv; they need Java 17 or later
	$(WITH_SPARK) python -m pytest tests/serving/test_spark.py $(ARGS)

lint: $(VENV)/.dev $(VENV)/.leadwise ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## let ruff repair and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

env: $(VENV)/.packages $(VENV)/.leadwise ## build .venv from requirements.lock; PYTHON=python3.12: with another Python

repro: env ## the same stages under DVC: rebuild only what changed; ARGS: for dvc repro
	$(WITH_ENV) dvc repro $(ARGS)

ui: env ## the tracking UI; PORT=5000
	$(WITH_ENV) python -m leadwise.tracking_store
	@echo "Runs: http://127.0.0.1:$(or $(PORT),5000)/#/experiments"
	$(WITH_ENV) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --workers 1 \
		--backend-store-uri "$$MLFLOW_TRACKING_URI" --port $(or $(PORT),5000)

serve: env ## REST answers of the champion; MODEL=leadwise: trained on real data; PORT=5001
	$(WITH_ENV) leadwise serve --model models:/$(MODEL)@champion --port $(or $(PORT),5001)

app: env ## the page at http://127.0.0.1:8501; DATA=DIR: examples of a PTB-XL tree; URL=http://...: ask that server; PORT=8501
	$(WITH_ENV) leadwise app $(if $(URL),--url "$(URL)") $(if $(DATA),--tree "$(DATA)") $(if $(PORT),--port $(PORT)) $(ARGS)

lock: env ## pin anew what pyproject.toml asks for; ARGS=--upgrade: the newest
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS) $(LOCK_OPTIONS) -o requirements.lock $(ARGS)
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS) --extra dev -c requirements.lock $(LOCK_OPTIONS) -o requirements-dev.lock $(ARGS)
	$(MAKE) files
	for image in scorer tracking page; do \
		$(BIN)/uv pip compile deploy/$$image.in -c requirements-dev.lock $(LOCK_OPTIONS) -o deploy/$$image.lock $(ARGS); \
	done

EXTRAS := --extra train --extra app --extra formats
LOCK_OPTIONS := --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

files: env ## write conda.yaml, docs/parameters.md and deploy/ anew
	PYTHONPATH=src $(BIN)/python scripts/project_files.py

readme: env ## make the tables of docs/results.md and the README's picture again from workspace/ptbxl
	PYTHONPATH=src $(BIN)/python scripts/readme.py results
	PYTHONPATH=src $(BIN)/python scripts/readme.py picture

# The environment. Each step leaves a stamp in .venv, and a changed lock starts from an empty folder, so that nothing
# of an older lock stays behind. Everything that is downloaded is checked against a hash.

SUPPORTED := import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else 1)

# Every program in an environment names its folder and its Python by absolute paths: one that was moved or copied with
# the checkout would run the code of another, and without its Python nothing runs.
FOREIGN := $(shell [ -f $(VENV)/pyvenv.cfg ] || exit 0; \
	{ sed -n 's/^command = [^ ]* -m venv --clear //p' $(VENV)/pyvenv.cfg; cat $(VENV)/.packages 2>/dev/null || true; } \
	| grep -xF "$$(pwd -P)/$(VENV)" >/dev/null && $(BIN)/python -c 'import pip' 2>/dev/null || echo yes)
ifneq ($(FOREIGN),)
$(VENV)/.packages: anew
endif
.PHONY: anew
anew:
	@echo "$(VENV) was made in another folder, or its Python is gone: it is made anew"

$(VENV)/.packages: requirements.lock
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON): not found; name a Python 3.11, 3.12 or 3.13: make PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" -c '$(SUPPORTED)' || { echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); Leadwise needs Python 3.11, 3.12 or 3.13: make PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make environments: install its venv module (on Debian and Ubuntu: the package python3-venv)" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	$(UV_INSTALL) --require-hashes -r requirements.lock
	@echo "$$(pwd -P)/$(VENV)" > $@

$(VENV)/.leadwise: pyproject.toml src/leadwise/__init__.py $(VENV)/.packages
	$(UV_INSTALL) --no-deps --build-constraints requirements-dev.lock --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.packages
	$(UV_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
