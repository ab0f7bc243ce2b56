# A fresh machine needs Python 3.11 or newer and make; everything else goes into a virtual environment in the tree.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types live clean

demo: $(VENV)/runtime.stamp
	$(BIN)/python examples/chat.py $(ARGS)

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy
	$(BIN)/pyright

# A real server, built once from packages and kept in a cache folder; `SPACETIMEDB_URI` names one to use instead.
live: $(VENV)/dev.stamp
	$(BIN)/python tests/live/server.py -- $(CURDIR)/$(BIN)/python -m pytest tests/behaviour -m live $(ARGS)

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/runtime.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
