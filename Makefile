# The interpreter of every command below: python3, or the one that PYTHON= names. Each version has a virtual environment
# of its own, so that none is used for another.
FOUND := $(shell sh tests/interpreters.sh $(if $(PYTHON),only $(PYTHON),default))
VERSION := $(word 1,$(FOUND))
INTERPRETER := $(word 2,$(FOUND))
ifeq ($(VERSION),)
$(error No interpreter to run on)
endif
VENV := .venv/$(VERSION)
OLDEST := .venv/$(VERSION)-oldest
BENCH := .venv-bench

PORT ?= 8000
JOBS ?= 3

# $(call venv,FOLDER) makes a virtual environment there, unless there is one that works.
venv = $(1)/bin/python -m pip --version >/dev/null 2>&1 || $(INTERPRETER) -m venv --clear $(1)
# $(call install,FOLDER) installs there what follows, each package in the newest release that it can have.
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager

.PHONY: demo
demo: $(VENV)/.demo-installed  ## Serve the examples on http://127.0.0.1:$(PORT)
	@PORT=$(PORT) $(VENV)/bin/python -m examples

$(VENV)/.demo-installed: pyproject.toml
	$(call venv,$(VENV))
	$(call install,$(VENV)) -e '.[demo]'
	@touch $@

# The gate. In CI (CI set in the environment) nothing is left out; elsewhere pytest says what was, and why.

PYTEST := -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: test test-all test-oldest check format tools
test: check tools  ## The whole gate: ruff, mypy, every test
	$(VENV)/bin/python $(PYTEST)

test-all:  ## The same on each Python from 3.11 to 3.14 that is found, and on the oldest releases that we allow
	rm -f .venv/*/.test-installed .venv/*/.oldest-installed
	for python in $$(sh tests/interpreters.sh | cut -d ' ' -f 2); do $(MAKE) test PYTHON=$$python || exit; done
	$(MAKE) test-oldest PYTHON=$$(sh tests/interpreters.sh | cut -d ' ' -f 2 | head -n 1)

# The oldest releases have no wheels for a newer Python than the oldest.
ifneq ($(filter 3.11.%,$(VERSION)),)
test-oldest: $(OLDEST)/.oldest-installed tools
	$(OLDEST)/bin/python $(PYTEST) tests/unit tests/property tests/integration
else
test-oldest:
	@echo "The tests of the oldest releases are left out: there is no Python 3.11"
endif

check: $(VENV)/.test-installed  ## Lint and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.test-installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

tools:  ## What the tests need beside Python, where the system's package manager may install it
	@sh tests/system_tools.sh

$(VENV)/.test-installed: pyproject.toml
	$(call venv,$(VENV))
	$(call install,$(VENV)) -e '.[test]'
	@touch $@

$(OLDEST)/.oldest-installed: pyproject.toml tests/lower_bounds.py
	$(INTERPRETER) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python tests/lower_bounds.py client demo ratelimit test > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/constraints.txt -e '.[test]'
	@touch $@

# Hours of random connections and bodies if so wished: by hand, a minute of it is in the gate.

SECONDS ?= 180
SEED ?= $(shell date +%s)

.PHONY: fuzz
fuzz: $(VENV)/.fuzz-installed  ## Fuzz a server on loopback for SECONDS (180), with SEED
	$(VENV)/bin/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) $(ARGS)

$(VENV)/.fuzz-installed: $(VENV)/.test-installed
	$(call install,$(VENV)) -e '.[fuzz]' || echo "atheris does not install here: hypothesis takes its place"
	@touch $@

# The benchmarks: by hand, never in the gate. What does not install is left out, and said to be.

.PHONY: bench bench-quick bench-check
bench: $(BENCH)/.installed-$(VERSION)  ## Measure every server that installs, about 20 minutes; results in benchmarks/
	$(BENCH)/bin/python -m benchmarks run --save full

bench-quick: $(BENCH)/.installed-$(VERSION)  ## The same in about four minutes, printed and not kept
	$(BENCH)/bin/python -m benchmarks run --quick

bench-check: $(VENV)/.test-installed tools  ## Fail where a speed has fallen under its bound, about two minutes
	$(VENV)/bin/python -m benchmarks check

$(BENCH)/.installed-$(VERSION): pyproject.toml benchmarks/node/package.json
	$(INTERPRETER) -m venv --clear $(BENCH)
	$(call install,$(BENCH)) -e '.[bench]' || $(call install,$(BENCH)) -e .
	-npm install --silent --no-package-lock --prefix benchmarks/node
	@touch $@
