PYTHON ?= python3
PORT ?= 8000
VENV := .venv

.PHONY: demo
demo: $(VENV)/.demo-installed  ## Serve the examples on http://127.0.0.1:$(PORT)
	@PORT=$(PORT) $(VENV)/bin/python -m examples

$(VENV)/.demo-installed: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

# The gate. In CI (CI set in the environment) nothing is left out; elsewhere pytest says what was, and why.

.PHONY: test check format tools
test: check tools  ## The whole gate: ruff, mypy, every test
	$(VENV)/bin/python -m pytest

check: $(VENV)/.test-installed  ## Lint and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.test-installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

tools:  ## Chromium, nginx and ip for the tests that need them, where the system's package manager may install them
	@sh tests/system_tools.sh

$(VENV)/.test-installed: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

# The benchmarks: by hand, never in the gate. What does not install is left out, and said to be.

BENCH := .venv-bench

.PHONY: bench bench-quick bench-check
bench: $(BENCH)/.installed  ## Measure every server that installs, about 20 minutes; results in benchmarks/
	$(BENCH)/bin/python -m benchmarks run --save full

bench-quick: $(BENCH)/.installed  ## The same in about four minutes, printed and not kept
	$(BENCH)/bin/python -m benchmarks run --quick

bench-check: $(VENV)/.test-installed  ## Fail where a speed has fallen under its bound, about two minutes
	$(VENV)/bin/python -m benchmarks check

$(BENCH)/.installed: pyproject.toml benchmarks/node/package.json
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]' || \
		$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	-npm install --silent --no-package-lock --prefix benchmarks/node
	@touch $@
