# A fresh machine needs Python 3.11 or newer and make; everything else goes into a virtual environment in the tree.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test eager lint types live judges bench docs clean

demo: $(VENV)/runtime.stamp
	$(BIN)/python examples/chat.py $(ARGS)

# A worker for each processor; `make test ARGS="-n 0 -k replace"` is one process, for debuggers.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

test: $(VENV)/dev.stamp
	$(PYTEST) $(ARGS)

# The same rows by the other way: everything about the cache, with nothing put off and no short ways taken.
eager: $(VENV)/dev.stamp
	$(PYTEST) --eager tests/proto/cache tests/proto/test_client.py tests/sdk/test_*.py tests/sdk/tabular tests/sdk/export tests/behaviour $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy
	$(BIN)/pyright

# The behaviour suite on a real server: the one that SPACETIMEDB_URI names, or one built from packages and kept in a cache.
SUITE := $(CURDIR)/$(BIN)/python -m pytest tests/behaviour -m live $(ARGS)

live: $(VENV)/dev.stamp
ifdef SPACETIMEDB_URI
	$(SUITE)
else
	$(BIN)/python tests/live/server.py -- $(SUITE)
endif

# The official SDKs against the in-process server. Their programs are built once, into a cache; Rust's takes minutes.
judges: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/judges --build-judges $(ARGS)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks $(ARGS)

# The site, in build/site. A link that leads nowhere is an error.
docs: $(VENV)/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

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
