# Everything a reader of the README can run. Each target brings what it needs and does nothing twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install --require-hashes
DATA ?= creditcard.csv

.PHONY: run test coverage lint bench train batch stream lock plotly clean

run: $(VENV)/.run
	@exec $(BIN)/python app.py

test: $(VENV)/.train
	$(BIN)/python -m pytest -n auto

# The suite again, a third slower, with the floor of pyproject.toml
coverage: $(VENV)/.train
	$(BIN)/python -m pytest -n auto --cov --cov-report=term-missing:skip-covered

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

bench: $(VENV)/.train
	$(BIN)/python -m benchmarks

# DATA: the public creditcard.csv (Kaggle, mlg-ulb/creditcardfraud), or a Parquet file with the same columns
train: $(VENV)/.train
	$(BIN)/python -m model.train $(DATA)

# Spark, for `flask --app app batch`: 456 MB to download. Java, 17 or newer, comes from the system: openjdk-17-jre-headless
batch: $(VENV)/.batch

# Kafka's client, for `flask --app app stream`: 5 MB
stream: $(VENV)/.stream

lock: $(VENV)/.test
	$(BIN)/python -m pip -q install uv
	lock() { $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" -q "$$@"; }; \
	lock requirements/serve.in requirements/learn.in -o requirements.txt && \
	lock requirements/serve.in -c requirements.txt -o requirements/serve.txt && \
	for part in test train batch stream; do lock requirements/$$part.in -o requirements/$$part.txt || exit; done

# The part of plotly.js that the dashboard draws with, into static/vendor. Needs Node.js 20 or newer, and npm.
plotly:
	cd requirements/plotly && npm ci --ignore-scripts && npm run build

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .hypothesis requirements/plotly/node_modules

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	@echo "Installing the pinned requirements; the first time takes a minute or two."
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.run
	$(PIP) -r requirements/test.txt
	@touch $@

$(VENV)/.train: requirements/train.txt $(VENV)/.test
	$(PIP) -r requirements/train.txt
	@touch $@

$(VENV)/.batch: requirements/batch.txt $(VENV)/.run
	$(PIP) -r requirements/batch.txt
	@touch $@

$(VENV)/.stream: requirements/stream.txt $(VENV)/.run
	$(PIP) -r requirements/stream.txt
	@touch $@
