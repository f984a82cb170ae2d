# Needs Python 3.11 or newer and nothing else; everything is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
JOBS ?= auto
# The distributions beside the one in this folder.
PARTS := codegen $(wildcard plugins/*)

.PHONY: help setup demo generate golden check test coverage mutants fuzz bench crash storm types1000 clean

help:  ## Say what there is to make
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup: $(READY)  ## Install the distributions and every tool into .venv

$(READY): pyproject.toml $(addsuffix /pyproject.toml,$(PARTS))
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . $(addprefix --editable ,$(PARTS)) --group dev
	@touch $@

demo: $(READY)  ## Run every model against the local sandbox; files go to out/demo/
	$(BIN)/python -m kling_sandbox.demo out/demo

generate: $(READY)  ## Compile specs/ into kling_adapters/models/, docs/models/ and the README's table
	$(BIN)/kling-codegen generate

golden: $(READY)  ## Write the trees of tests/golden/ anew; review their diff
	$(BIN)/kling-codegen generate --specs tests/golden/core/specs --out tests/golden/core/models
	$(BIN)/kling-codegen generate --specs tests/golden/acme/specs --out tests/golden/acme/acme_kling/models

check: $(READY)  ## Lint, types, layers, and whether the generated tree is what the specs say
	$(BIN)/kling-codegen lint
	$(BIN)/kling-codegen check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

test: $(READY)  ## Run the tests
	$(BIN)/pytest -n $(JOBS)

coverage: $(READY)  ## Run the tests and say which branches of our own code none of them takes, in a quarter of an hour
	rm -rf out/coverage
	mkdir -p out/coverage
	$(BIN)/coverage run -m pytest -n $(JOBS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage json --quiet -o out/coverage/report.json
	$(BIN)/python -c 'import json, sys; share = json.load(open("out/coverage/report.json"))["totals"]["percent_branches_covered"]; sys.exit(f"{share:.1f} % of branches" if share < 95 else print(f"{share:.1f} % of branches"))'

mutants: $(READY)  ## Break validators, flows, retries and rules in 1,600 small ways, and say which no test notices
	$(BIN)/python -m benchmarks.mutants

fuzz: $(READY)  ## Judge 100,000 edited inputs of each model, random specs, any order of deeds and faults, requests drawn from OpenAPI, bytes for the readers of answers (Linux)
	$(BIN)/pytest -n $(JOBS) -rP --hypothesis-profile=fuzz tests/properties tests/faults/test_any_order.py tests/sandbox/test_sandbox_openapi.py
	$(BIN)/python -m pip install --quiet atheris
	mkdir -p out/fuzz
	printf '%s' '0{"status": "COMPLETED", "request_id": "x", "output": "https://h/x.mp4", "video": {"url": "https://h/x", "file_size": 7}, "metrics": {"cost": 1.5}, "error": "no"}' > out/fuzz/first
	$(BIN)/python tests/faults/fuzz_answers.py -max_total_time=60 -artifact_prefix=out/fuzz/ out/fuzz

bench: $(READY)  ## Measure the compiler and the import with 1,000 models, in a few minutes
	$(BIN)/python -m benchmarks.speed

crash: $(READY)  ## 500 jobs, and a client that is killed a hundred times, in a few minutes
	KLING_CRASH_JOBS=500 KLING_CRASH_KILLS=100 $(BIN)/pytest -s tests/faults/test_killed.py

storm: $(READY)  ## 500 jobs on a bad day of the gateway, with the official client beside ours, in a few minutes
	KLING_STORM_JOBS=500 $(BIN)/pytest -s tests/faults/test_storm.py
	$(BIN)/python -m benchmarks.storm

types1000: $(READY)  ## Check the types of 1,000 varied adapters, in a few minutes
	$(BIN)/python -m benchmarks.strict 1000

clean:  ## Remove .venv and everything else that was made here
	rm -rf .venv out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find . \( -name __pycache__ -o -name .kling-codegen \) -prune -exec rm -rf {} +
