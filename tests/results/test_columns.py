"""The columns of the input stand in the results under names of their own, as JSON."""

import json
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.results.columns import encoded, renamed

#: A results row as the contract has it; `parsed` needs an output schema.
CONTRACT = (
    *("custom_id", "status", "content", "finish_reason", "error_code", "error_message"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "model", "batch_id", "round"),
)


def columns_of(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a row, as results name them."""
    found: dict[str, Any] = json.loads(renamed(encoded(row)))
    return found


def test_every_field_of_the_contract_is_a_field_of_a_result() -> None:
    assert set(CONTRACT) <= set(RESULT_FIELDS)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_column_with_the_name_of_a_result_field_gets_a_prefix(name: str) -> None:
    assert columns_of({"key": "k", name: "mine"}) == {"key": "k", f"input_{name}": "mine"}


def test_a_column_with_another_name_keeps_its_name() -> None:
    assert columns_of({"key": "k", "Status": 1, "input_x": 2}) == {"key": "k", "Status": 1, "input_x": 2}


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        pytest.param(
            {"status": 1, "input_status": 2}, {"input_input_status": 1, "input_status": 2}, id="the taken name first"
        ),
        pytest.param(
            {"input_status": 2, "status": 1}, {"input_input_status": 1, "input_status": 2}, id="the taken name last"
        ),
        pytest.param(
            {"status": 1, "input_status": 2, "input_input_status": 3},
            {"input_input_input_status": 1, "input_status": 2, "input_input_status": 3},
            id="both taken",
        ),
    ],
)
def test_a_column_with_a_prefix_does_not_take_the_name_of_another(row: dict[str, int], columns: dict[str, int]) -> None:
    assert columns_of(row) == columns


@given(
    row=st.dictionaries(st.sampled_from([f"{'input_' * n}{name}" for n in range(4) for name in CONTRACT]), st.text())
)
def test_no_value_of_a_row_is_lost(row: dict[str, str]) -> None:
    columns = columns_of(row)
    assert sorted(columns.values()) == sorted(row.values())
    assert not set(columns) & set(CONTRACT)
    assert all(columns[name] == value for name, value in row.items() if name not in CONTRACT)


@pytest.mark.parametrize("name", ["image", "status"])
def test_a_column_of_bytes_is_not_in_the_results(name: str) -> None:
    assert columns_of({"id": "a", name: b"GIF8", "text": "x"}) == {"id": "a", "text": "x"}


def test_bytes_and_lists_of_bytes_are_not_in_the_results() -> None:
    row = {"id": 1, "photo": b"GIF8", "photos": [b"GIF8"], "tags": ["a"]}
    assert columns_of(row) == {"id": 1, "tags": ["a"]}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (numpy.int64(5), 5),
        (numpy.float64(1.5), 1.5),
        (numpy.bool_(True), True),
        (numpy.array([1, 2]), [1, 2]),
        (pandas.NA, None),
        (pandas.NaT, None),
        (pandas.Timestamp("2026-01-01 08:00"), "2026-01-01T08:00:00"),
        (float("inf"), None),
    ],
)
@pytest.mark.parametrize("beside", ["x", 2**70, "half \ud83d"])
def test_a_value_of_another_library_is_in_the_results_as_json_has_it(value: Any, found: Any, beside: Any) -> None:
    assert columns_of({"value": value, "beside": beside})["value"] == found


def test_an_element_without_columns_stays_without() -> None:
    assert renamed(b"") == b""
