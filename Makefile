# The same verbs for people and for CI. Nothing but CPython 3.11 or 3.12, git and make is needed.

VENV := .venv
BIN := $(VENV)/bin
MLFLOW := .mlflow
READY := $(VENV)/.ready
.DEFAULT_GOAL := help
.PHONY: help setup demo dev test watch test-mlflow test-long check bench contracts docs lock clean

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' \
		| while IFS='|' read -r name about; do printf 'make %-10s %s\n' "$$name" "$$about"; done

setup: $(READY)  ## create .venv from requirements.lock (the targets below do it by themselves)

demo: $(READY)  ## servers, workers, a first model, live payments and a summary
	$(BIN)/headrace demo $(ARGS)

test: $(READY)  ## every test that is not marked long, on real Kafka and Redis
	$(BIN)/pytest -m 'not long' $(ARGS)

dev: $(READY)  ## servers and workers that begin again when a source file changes; Ctrl-C stops them
	$(BIN)/headrace up --reload --no-spares $(ARGS)

watch: $(READY)  ## the tests of a room again at every change, those that failed first: make watch ROOM=tests/unit/streams
	$(BIN)/watchfiles --filter python \
		"$(BIN)/pytest -q -x --ff -m 'not long and not integration' $(or $(ROOM),tests/unit)" .

test-mlflow: $(MLFLOW)/.ready  ## the registry's tests on MLflow, whose client is kept in .mlflow
	PYTHONPATH=$(CURDIR)/$(MLFLOW) $(BIN)/pytest -k 'mlflow or mirror' tests/unit/inference/test_registry.py \
		tests/unit/inference/test_registry_store.py tests/unit/inference/test_mlflow_store.py \
		tests/unit/headrace/test_mirror_command.py tests/integration/test_release.py $(ARGS)

test-long: $(READY)  ## the long ones: faults, rebalances, the whole handbook data, MLflow
	$(BIN)/pytest -m long --timeout 1800 $(ARGS)
	$(if $(ARGS),,$(BIN)/pytest -q -m 'not integration' --hypothesis-profile explore tests/properties)
	$(if $(ARGS),,$(MAKE) test-mlflow)

check: $(READY)  ## lint, format, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## the benchmark scenarios, or one: make bench NAME=gate
	@set -e; for name in $(or $(NAME),$$($(BIN)/headrace bench list | cut -d' ' -f1)); do \
		$(BIN)/headrace bench run $$name $(ARGS); done
	$(BIN)/python -m load.bench.report

contracts: $(READY)  ## write the Python types anew from contracts/*.yaml
	$(BIN)/python -m contracts.generate

docs: $(READY)  ## write docs/reference anew from the code
	$(BIN)/python -m headrace.reference

RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-find-links pyproject.toml
PIN := '^[a-z0-9-]+=='
lock: $(READY)  ## resolve requirements.lock, the images' own and what MLflow adds anew from pyproject.toml
	$(RESOLVE) --extra dev --output-file requirements.lock
	$(RESOLVE) --constraint requirements.lock --output-file docker/requirements.lock
	cp requirements.lock requirements-mlflow.lock
	$(RESOLVE) --extra dev --extra mlflow --output-file requirements-mlflow.lock
	$(RESOLVE) --extra dev --extra mlflow $$(grep -E $(PIN) requirements-mlflow.lock | grep -Fx "$$(grep -E $(PIN) requirements.lock)" \
		| sed 's/==.*//; s/^/--no-emit-package /') --output-file requirements-mlflow.lock

clean:  ## stop local servers; delete .venv and caches (.headrace/ with runs and models stays)
	@test ! -x $(BIN)/headrace || $(BIN)/headrace down
	rm -rf $(VENV) $(MLFLOW) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@python=""; for name in $(PYTHON) python3.11 python3.12 python3; do \
		if $$name -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; \
		then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then \
		echo 'CPython 3.11 or 3.12 is needed and was not found; install one, or name it: make PYTHON=/path/to/python3.11' >&2; \
		exit 2; fi; \
	echo "setting up $(VENV) with $$($$python --version), a few minutes the first time"; \
	$$python -m venv $(VENV) || { echo 'the venv module is missing (Debian: apt install python3-venv)' >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m streams.stage.warm_up
	@touch $(READY)

# Beside .venv, not in it: MLflow's client wants other versions of two packages than the lock has.
$(MLFLOW)/.ready: requirements-mlflow.lock $(READY)
	rm -rf $(MLFLOW)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(MLFLOW) \
		-r requirements-mlflow.lock
	@touch $(MLFLOW)/.ready
