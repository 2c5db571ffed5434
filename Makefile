# Two commands on a fresh machine: `make reproduce` and `make test`. `make` alone lists the others.

PYTHON ?= python3
# More words for pip (an index, a folder of wheels), and for the command that is run.
PIP_ARGS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt

.PHONY: help venv dev reproduce playground test lint types imports docs accessible dist check exact-distances

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

venv: $(VENV)/.installed  ## create .venv and install the package with its tested dependencies

reproduce: $(VENV)/.installed  ## reproduce the paper's MNIST tables (ARGS="table1 --seeds 3")
	$(BIN)/intriguing reproduce $(ARGS)

PLAYED := fc100-100-10 fc10 ae400-10
playground: $(VENV)/.installed  ## the search in a browser: trains three networks, writes playground.html
	@mkdir -p results/playground
	@for name in $(PLAYED); do \
	    test -f results/playground/$$name.safetensors || \
	    $(BIN)/intriguing train $$name mnist-5k --out results/playground/$$name.safetensors || exit 1; \
	done
	$(BIN)/intriguing playground $(PLAYED:%=results/playground/%.safetensors) $(ARGS)

dev: $(VENV)/.installed-dev  ## the same with the tools that the next targets need

# One thread a worker: workers that each take every core slow one another down.
test: $(VENV)/.installed-dev  ## run the whole test suite (ARGS="tests/data -k idx")
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(VENV)/.installed-dev  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev  ## mypy, strict on src/
	$(BIN)/mypy

imports: $(VENV)/.installed-dev  ## the import contract: data flows one way
	$(BIN)/lint-imports

check: test lint types imports docs  ## all five

# ARGS: NAME=MODEL of trained networks, as benchmarks/exact_distances.py says.
exact-distances: $(VENV)/.installed-dev  ## minimum distortions proved, and how far attacks are from them
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/exact_distances.py $(ARGS)
	$(BIN)/python docs/site/macros.py

docs: $(VENV)/.installed-docs  ## the site, into build/site: commands and tutorials are run, links looked at
	$(BIN)/python docs/site/build.py

# Of npm's; not needed to build the site. ARGS: more pages, such as playground.html.
accessible: $(VENV)/.installed-docs  ## after docs: can everybody use it? axe-core asks, in Chromium
	npm install --silent --no-save --prefix build/npm axe-core@4.14.1
	PYTHONPATH=. $(BIN)/python docs/site/axe.py $(ARGS)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e .
	@touch $@

# PIP_ARGS serve for installing the wheel, too.
dist: | $(VENV)/.made  ## wheel and sdist, looked into, installed into a clean environment and tried there
	$(INSTALL) build
	$(BIN)/python release/dist.py $(PIP_ARGS)

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e '.[docs]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed

# Debian and Ubuntu ship Python without ensurepip unless python3-venv is installed; then the pip of
# the machine puts one into the new environment.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is \
	needed, this is %d.%d: run make PYTHON=python3.11" % sys.version_info[:2])'
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	    $(PYTHON) -m venv $(VENV); \
	else \
	    $(PYTHON) -m venv --without-pip $(VENV) && \
	    $(PYTHON) -m pip --python $(BIN)/python install $(PIP_ARGS) pip; \
	fi
	@touch $@
