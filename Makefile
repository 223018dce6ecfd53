# make docs: the pages, as a site to read without a network.
# make demo: the whole main job on a fresh machine. make test: lints, types, tests, the last in so many processes at
# once as WORKERS says (0: in this one). Needs Python 3.11+, make, git.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
SOURCES := latentfill tests benchmarks examples

.PHONY: demo test lint types tests docs install clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py demo

# Types are checked beside the tests: each has pauses of the other's processor. If one fails, the other still ends.
test: lint
	$(MAKE) --no-print-directory -j 2 types tests

lint: $(VENV)/.installed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/.installed
	$(BIN)/mypy

# File by file, so that what a module makes is made once, and in the order of tests/conftest.py. Without bytecode on the
# disk each of some hundred processes would compile the package anew.
tests: $(VENV)/.installed
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict --quiet
	@echo site/index.html

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "latentfill needs Python 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo 'Installing latentfill and all it uses into $(VENV): 2.6 GB, some minutes. Nothing is printed meanwhile.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist site
