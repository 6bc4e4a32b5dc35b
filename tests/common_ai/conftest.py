"""Tests of the seat in common.ai, which `make test-common-ai` runs where that is installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("airflow.providers.common.ai") else ["test_*.py"]
