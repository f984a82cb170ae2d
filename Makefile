# Needs Python 3.11 or newer and nothing else; everything is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# Versions of everything that is installed; empty for the newest that the distributions allow.
CONSTRAINTS ?= constraints.txt
# One more than there are processors, because many tests wait for a server or a browser.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
BIN := $(VENV)/bin
READY := $(VENV)/ready
DEMO_READY := $(VENV)/demo-ready
# The distributions beside the one in this folder.
PARTS := codegen $(wildcard plugins/*)
MANIFESTS := pyproject.toml $(addsuffix /pyproject.toml,$(PARTS))
# Tests of kling_adapters that need no other distribution than the sandbox.
RUNTIME_TESTS := $(addprefix tests/,builtin client hooks http journal media protocol public schema)
# Tests that run on httpx, too; `make test` runs all tests on httpx2.
PLAIN_TESTS := $(addprefix tests/,http client conformance protocol/test_submit_once.py promises/test_forks.py promises/test_key_leaks.py)
PIN := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS) --build-constraint $(CONSTRAINTS))
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIN)
UV = $(BIN)/python -m uv --quiet

.PHONY: help setup demo generate check test docs measures coverage mutants fuzz bench regress crash storm temporal serve-crash screenshots types1000 newest lowest bare plain golden lock dist packages release clean

# `##@` starts a group of targets, `##` describes a target.
help:  ## List the targets
	@awk -F ':[^#]*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Everyday

setup: $(READY)  ## Install the distributions and every tool into .venv

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) 'pip>=25.3'

$(READY): $(BIN)/python $(MANIFESTS) $(CONSTRAINTS)
	$(INSTALL) --editable . $(addprefix --editable ,$(PARTS)) --group dev
	@touch $@ $(DEMO_READY)

# The demo needs neither the compiler nor a tool.
$(DEMO_READY): $(BIN)/python pyproject.toml plugins/sandbox/pyproject.toml $(CONSTRAINTS)
	$(INSTALL) --editable . --editable plugins/sandbox
	@touch $@

demo: $(DEMO_READY)  ## Run every model against the local sandbox; the files go to out/demo/
	$(BIN)/python -m kling_sandbox.demo out/demo

generate: $(READY)  ## Compile specs/ into kling_adapters/models/, docs/models/ and the table of the README
	$(BIN)/kling-codegen generate

check: $(READY)  ## Check the generated tree, lint, format, types, layers, words and dependencies
	$(BIN)/kling-codegen lint
	$(BIN)/kling-codegen check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m tests.repository.words
	for part in . $(PARTS); do (cd $$part && $(abspath $(BIN))/deptry .) || exit 1; done

test: $(READY) plain  ## Run all tests, in a quarter of an hour
	$(BIN)/pytest -n $(JOBS)

plain: $(READY)  ## Run the tests of the HTTP connections on httpx, with httpx2 hidden
	PYTHONPATH=$(CURDIR)/tests/support/without_httpx2 $(BIN)/pytest -n $(JOBS) $(PLAIN_TESTS)

docs: $(READY)  ## Build the documentation into out/docs; every warning is an error
	$(BIN)/python -m docs.builder out/docs

measures: $(READY)  ## Print import circles, layers, and large modules and functions
	$(BIN)/python -m tests.repository.measures

##@ Long

coverage: $(READY)  ## Run the tests and list branches without a test, in 15 minutes; fails below 95 %
	rm -rf out/coverage
	mkdir -p out/coverage
	$(BIN)/coverage run -m pytest -n $(JOBS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage json --quiet -o out/coverage/report.json
	$(BIN)/python -m tests.repository.branch_coverage

mutants: $(READY)  ## Make small changes to the code that protects money, or to MUTANTS; list those that no test detects
	$(BIN)/python -m tests.mutation.run $(MUTANTS)

fuzz: $(READY)  ## Search longer for inputs, specs and answers that break a rule, in half an hour or more (Linux)
	$(BIN)/pytest -n $(JOBS) -rP --hypothesis-profile=fuzz tests/properties tests/promises/test_any_order.py tests/sandbox/test_sandbox_openapi.py tests/serve/test_serve_openapi.py
	$(INSTALL) atheris
	mkdir -p out/fuzz
	printf '%s' '0{"status": "COMPLETED", "request_id": "x", "output": "https://h/x.mp4", "video": {"url": "https://h/x", "file_size": 7}, "metrics": {"cost": 1.5}, "error": "no"}' > out/fuzz/first
	$(BIN)/python tests/protocol/fuzz_answers.py -max_total_time=60 -artifact_prefix=out/fuzz/ out/fuzz

bench: $(READY)  ## Print all ratios against peers and write docs/benchmarks.md, in 20 minutes; or print those of BENCH
	$(INSTALL) --group bench
	$(BIN)/python -m benchmarks.run $(BENCH)

regress: $(READY)  ## Measure all ratios again, or those of BENCH; fails if one is a fifth worse than the committed one
	$(BIN)/python -m benchmarks.run --compare $(BENCH)

crash: $(READY)  ## Run 500 jobs with a process that is killed 100 times, and with four of them, in ten minutes
	KLING_CRASH_JOBS=500 KLING_CRASH_KILLS=100 $(BIN)/pytest -s tests/promises/test_killed.py
	KLING_CRASH_SWEEP=1 $(BIN)/pytest tests/promises/test_ten_lines_killed.py

storm: $(READY)  ## Run 500 jobs against a failing gateway, beside the official client, in ten minutes
	KLING_STORM_JOBS=500 $(BIN)/pytest -s tests/promises/test_storm.py
	$(BIN)/python -m benchmarks.storm

temporal: $(READY)  ## Run 300 jobs on three workers that are killed, and 10,000 with stub steps, in half an hour
	KLING_TEMPORAL_JOBS=300 KLING_TEMPORAL_LOWEST=0.9 $(BIN)/pytest -s tests/temporal/test_chaos.py tests/temporal/test_limits.py
	KLING_TEMPORAL_SCALE=10000 $(BIN)/pytest -s tests/temporal/test_scale.py

serve-crash: $(READY)  ## Kill the studio 20 times while its jobs run and while other programs wait, in a few minutes
	KLING_SERVE_KILLS=20 $(BIN)/pytest -s tests/studio/test_killed_studio.py tests/serve/test_interfaces_killed.py

types1000: $(READY)  ## Check the types of 1,000 generated adapters, in a few minutes
	$(BIN)/python -m benchmarks.strict 1000

newest:  ## Run check and test with the newest versions of all dependencies, in .venv-newest
	rm -rf .venv-newest
	$(MAKE) VENV=.venv-newest CONSTRAINTS= check test

lowest: $(BIN)/python  ## Run the tests with the lowest allowed versions, in .venv-lowest
	$(INSTALL) uv
	mkdir -p out
	printf '%s\n' '-e .[httpx2]' $(patsubst %,'-e ./%',$(PARTS)) > out/requirements.in
	$(UV) pip compile --resolution lowest-direct --no-annotate --no-header --output-file out/direct.txt out/requirements.in
	grep == out/direct.txt > out/lowest.txt
	rm -rf .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade 'pip>=25.3'
	.venv-lowest/bin/python -m pip install --quiet --constraint out/lowest.txt --editable . $(addprefix --editable ,$(PARTS)) --group test
	.venv-lowest/bin/pytest -n $(JOBS)

bare:  ## Run the tests of the runtime with the core, the sandbox and a minimal set of test tools, in .venv-bare
	rm -rf .venv-bare
	$(MAKE) VENV=.venv-bare .venv-bare/demo-ready
	.venv-bare/bin/python -m pip install --quiet $(PIN) pytest pytest-randomly pytest-xdist hypothesis trustme
	! .venv-bare/bin/python -c 'import trio'
	! .venv-bare/bin/python -c 'import httpx2'
	.venv-bare/bin/pytest -n $(JOBS) -k 'not trio' $(RUNTIME_TESTS)

##@ Packages

dist: $(READY)  ## Build the sdists and wheels of all distributions into dist/; the same commit gives the same bytes
	$(BIN)/python -m tests.release.build

packages: dist  ## Check the files of dist/ in clean environments with each Python of PYTHONS, in 15 minutes; add SBOMs
	$(INSTALL) --group release
	$(BIN)/python -m twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/python -m tests.release.install $(if $(PYTHONS),--pythons $(PYTHONS)) $(if $(VERSIONS),--versions $(VERSIONS))
	$(BIN)/python -m tests.release.sbom

release: $(READY)  ## Prepare the release VERSION up to the upload; DRY_RUN=1 leaves main as it is, SKIP_TESTS=1 skips tests
	$(BIN)/python -m tests.release.run $(VERSION) $(if $(DRY_RUN),--dry-run) $(if $(SKIP_TESTS),--skip-tests) \
		$(if $(PYTHONS),--pythons '$(PYTHONS)')

##@ Maintenance

golden: $(READY)  ## Write tests/golden/ again after a change to the compiler; review the diff
	$(BIN)/kling-codegen generate --specs tests/golden/core/specs --out tests/golden/core/models
	$(BIN)/kling-codegen generate --specs tests/golden/acme/specs --out tests/golden/acme/acme_kling/models
	before=; for state in tests/golden/life/*/; do \
		$(BIN)/kling-codegen generate --specs $${state}specs --out $${state}studio/models && rm -r $${state}specs/schema || exit 1; \
		test -z "$$before" || $(BIN)/kling-codegen diff $${before}specs $${state}specs > $${state%/}.diff.txt || true; \
		before=$$state; \
	done

screenshots: $(READY)  ## Draw the terminal of the README; take the pictures of docs/studio.md in a Chromium of this machine
	$(BIN)/python -m tests.docs.terminal_picture
	$(BIN)/python -m tests.studio.screenshots

lock: $(BIN)/python  ## Write constraints.txt again: the newest allowed version of everything, for every Python
	$(INSTALL) uv
	mkdir -p out
	printf '%s\n' '-e .' $(patsubst %,'-e ./%',$(PARTS)) atheris pip > out/requirements.in
	$(UV) pip compile --universal --python-version 3.11 --upgrade --group dev --group bench --group release --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --output-file out/requirements.txt out/requirements.in
	grep == out/requirements.txt > constraints.txt

clean:  ## Remove .venv and everything else that was made here
	rm -rf .venv .venv-newest .venv-lowest .venv-bare out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
