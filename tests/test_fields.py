"""A wrong parameter is refused while the DAG file is parsed, in one shape of message."""

import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_kimi.fields import check_choice, check_flag, check_seconds, check_whole_number
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.operators.cache import KimiPurgeCacheOperator
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator


@pytest.mark.parametrize("value", [0.5, 1, 3600, timedelta(hours=1)], ids=repr)
def test_a_duration_is_seconds_or_a_timedelta(value: timedelta | float) -> None:
    assert check_seconds("timeout", value) == (value.total_seconds() if isinstance(value, timedelta) else value)


@pytest.mark.parametrize("value", [0, -1, "1h", "3600", None, True, float("nan"), float("inf"), timedelta(0)], ids=repr)
def test_a_value_that_is_not_a_duration_is_refused_by_name(value: Any) -> None:
    message = f"timeout is {value!r}; it must be seconds or a timedelta above zero, such as 3600 or timedelta(hours=1)"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_seconds("timeout", value)


@pytest.mark.parametrize("value", [0, timedelta(0)], ids=repr)
def test_a_duration_may_be_zero_where_that_is_allowed(value: timedelta | float) -> None:
    assert check_seconds("older_than", value, may_be_zero=True) == 0
    with pytest.raises(ValueError, match="older_than is -1; it must be seconds or a timedelta, such as 3600"):
        check_seconds("older_than", -1, may_be_zero=True)


@pytest.mark.parametrize("value", ["False", "no", 0, 1, None], ids=repr)
def test_a_switch_is_true_or_false_and_never_a_text(value: Any) -> None:
    with pytest.raises(ValueError, match=f"dry_run is {value!r}; it must be True or False"):
        check_flag("dry_run", value)


@pytest.mark.parametrize("value", [0, -1, "x", "5", 1.0, True, None], ids=repr)
def test_a_number_is_whole_and_above_zero(value: Any) -> None:
    with pytest.raises(ValueError, match=f"max_rows is {value!r}; it must be a whole number above zero"):
        check_whole_number("max_rows", value)


def test_a_choice_that_is_not_allowed_is_refused() -> None:
    check_choice("reuse", "auto", ("auto", "never"))
    with pytest.raises(ValueError, match="reuse is 'always'; it must be one of 'auto', 'never'"):
        check_choice("reuse", "always", ("auto", "never"))


@pytest.mark.parametrize(
    ("operator", "parameters", "name"),
    [
        (KimiCreateBatchOperator, {"cancel_on_kill": "no"}, "cancel_on_kill"),
        (KimiCreateBatchOperator, {"max_batches_searched": "x"}, "max_batches_searched"),
        (KimiCreateBatchOperator, {"max_rows_per_batch": 0}, "max_rows_per_batch"),
        (KimiCreateBatchOperator, {"reuse": "always"}, "reuse"),
        (KimiBatchResultsOperator, {"delete_remote_files": "False"}, "delete_remote_files"),
        (KimiBatchResultsOperator, {"output_format": "xlsx"}, "output_format"),
        (KimiDeleteFilesOperator, {"older_than": "30d"}, "older_than"),
        (KimiDeleteFilesOperator, {"older_than": 60, "dry_run": "False"}, "dry_run"),
        (KimiDeleteFilesOperator, {"older_than": 60, "max_batches_searched": "x"}, "max_batches_searched"),
        (KimiPurgeCacheOperator, {"older_than": "30d"}, "older_than"),
        (KimiPurgeCacheOperator, {"older_than": 60, "dry_run": "False"}, "dry_run"),
        (KimiPurgeCacheOperator, {"older_than": 60, "cache": 1}, "cache"),
        (KimiOrphanBatchesOperator, {"max_age": "30d"}, "max_age"),
        (KimiOrphanBatchesOperator, {"max_age": -1}, "max_age"),
        (KimiOrphanBatchesOperator, {"dry_run": "no"}, "dry_run"),
        (KimiOrphanBatchesOperator, {"unknown_runs": 1}, "unknown_runs"),
        (KimiOrphanBatchesOperator, {"max_batches_searched": 0}, "max_batches_searched"),
    ],
)
def test_an_operator_refuses_a_wrong_parameter_while_the_dag_is_parsed(
    operator: Any, parameters: dict[str, Any], name: str
) -> None:
    required: dict[Any, dict[str, Any]] = {
        KimiCreateBatchOperator: {"input": ["a"]},
        KimiBatchResultsOperator: {"batch_id": "batch_1", "output": "/tmp/out"},
        KimiPurgeCacheOperator: {"cache": "/tmp/cache", "older_than": 0},
    }
    with pytest.raises(ValueError, match=rf"{name} is .*; it must be "):
        operator(task_id="t", **(required.get(operator, {}) | parameters))
