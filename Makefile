# What one types here. make, because it is there; every target makes or refreshes .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
FAST_TESTS := tests/unit tests/contract

.DEFAULT_GOAL := help
.PHONY: help setup check lint unit test demo bench chart docs faults faults-long lock format clean

help:  ## this text
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r target text; do printf '%-18s %s\n' "$$target" "$$text"; done

setup:  ## make .venv exactly as requirements.lock says (quick when nothing changed)
	@PYTHON="$(PYTHON)" tools/debian-packages.sh
	@$(PYTHON) tools/make_venv.py

check: lint unit  ## all that needs no servers: linters, types, architecture, fast tests (< 2 min)

lint: setup  ## linters, types and architecture only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry cli deploy/local runtime services
	$(BIN)/deptry schemas --config schemas/pyproject.toml
	$(BIN)/codespell

unit: setup  ## unit and contract tests that need no servers
	$(BIN)/python -m pytest -q -n 2 -m "not servers" $(FAST_TESTS)

test: lint  ## everything: the checks, then all tests, on real servers (the header says which)
	$(BIN)/python -m pytest -q -n 2 -m "fast and not servers" $(FAST_TESTS) tests/chart
	$(BIN)/python -m pytest -m "servers or not fast" tests

chart: setup  ## the Helm chart: lint, every values file, schemas of Kubernetes 1.31-1.37 (<= 60 s)
	$(BIN)/python -m pytest -q -n 2 tests/chart

docs: setup  ## the generated pages, links and code blocks checked, then all as HTML in build/docs
	@for page in generated_parts topics_page metrics_page settings_page commands_page asyncapi \
		chart_files helm_values dashboard; do $(BIN)/python -m tools.docs.$$page || exit 1; done
	$(BIN)/python -m pytest -q tests/contract/test_docs.py tests/contract/test_reference_pages.py
	$(BIN)/zensical build --clean --config-file zensical.toml

demo: setup  ## a newcomer's tour on real servers; ONCE=1 ends by itself and checks; SHUFFLE=7: any order
	$(BIN)/python -m opstrail_cli.demo $(if $(ONCE),--once) $(if $(SHUFFLE),--shuffle $(SHUFFLE))

bench: setup  ## the measurements under bench/, each figure beside its goal
	$(BIN)/python -m pytest -q -s bench --override-ini=python_files='*.py' --timeout=900

faults: setup  ## kill everything once, and count: the fault matrix on real servers (<= 12 min)
	$(BIN)/python -m pytest -q tests/faults tests/unit/checker

faults-long: setup  ## the same for MINUTES=30, EVENTS=20000 a run, seeds printed; SEED=… ONLY=kills replays one
	$(BIN)/python -m tests.support.faulting.long --minutes $(or $(MINUTES),30) \
	--events $(or $(EVENTS),20000) \
	$(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(REPORT),--report $(REPORT))

lock: setup  ## resolve requirements.lock anew; UPGRADE=1 takes the newest versions
	tools/lock.sh $(if $(UPGRADE),--upgrade)
	@$(PYTHON) tools/make_venv.py

format: setup  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was made here: caches, reports, .venv (not the servers' cache)
	rm -rf .venv build dist htmlcov .coverage .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
