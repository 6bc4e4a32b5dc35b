"""Rows of data frames of pandas and polars."""

from typing import Any

import numpy
import pandas
import polars
import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.frames import is_frame, rows_of_frame

COLUMNS = {"text": ["a", None], "count": [1, 2]}


def rows_of(frame: Any) -> list[dict[str, Any]]:
    assert is_frame(frame)
    return list(rows_of_frame(frame))


@pytest.mark.parametrize("library", [pandas, polars], ids=["pandas", "polars"])
def test_the_rows_of_a_data_frame_hold_none_where_a_value_is_missing(library: Any) -> None:
    assert rows_of(library.DataFrame(COLUMNS)) == [{"text": "a", "count": 1}, {"text": None, "count": 2}]


def test_every_missing_value_of_pandas_is_none() -> None:
    missing = {
        "float": [None],
        "Int64": pandas.array([None], dtype="Int64"),
        "string": pandas.array([None], dtype="string"),
        "time": pandas.to_datetime([None]),
        "category": pandas.Categorical([None], categories=["a"]),
        "object": pandas.Series([pandas.NA], dtype="object"),
    }
    assert rows_of(pandas.DataFrame(missing)) == [dict.fromkeys(missing)]


def test_lists_and_arrays_in_a_data_frame_are_lists() -> None:
    frame = pandas.DataFrame({"tags": [["x"], ["y", "z"]], "vector": [numpy.array([1.5]), numpy.array([])]})
    assert rows_of(frame) == [{"tags": ["x"], "vector": [1.5]}, {"tags": ["y", "z"], "vector": []}]
    assert rows_of(polars.DataFrame({"tags": [["x"]], "size": [{"w": 1}]})) == [{"tags": ["x"], "size": {"w": 1}}]


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2500])
@pytest.mark.parametrize("library", [pandas, polars], ids=["pandas", "polars"])
def test_every_row_of_a_data_frame_is_taken_once_and_in_order(library: Any, count: int) -> None:
    assert rows_of(library.DataFrame({"a": range(count)})) == [{"a": number} for number in range(count)]


@pytest.mark.parametrize(
    ("index", "columns"),
    [
        pytest.param(["text"], ["text", "count"], id="one"),
        pytest.param(["count", "text"], ["count", "text"], id="several"),
    ],
)
def test_an_index_that_has_a_name_is_a_column(index: list[str], columns: list[str]) -> None:
    """As in a Parquet file that pandas writes."""
    frame = pandas.DataFrame({"text": ["a"], "count": [1]}).set_index(index)
    assert rows_of(frame) == [{"text": "a", "count": 1}]
    assert [list(row) for row in rows_of(frame)] == [columns]


def test_an_index_that_is_a_column_too_is_taken_once() -> None:
    frame = pandas.DataFrame({"text": ["a"], "count": [1]}).set_index("text", drop=False)
    assert rows_of(frame) == [{"text": "a", "count": 1}]


def test_columns_without_names_have_their_numbers_as_text() -> None:
    assert rows_of(pandas.DataFrame([["a", 1]])) == [{"0": "a", "1": 1}]


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"]], ids=["twice", "as number and as text"])
def test_a_column_that_is_named_twice_is_refused(names: list[object]) -> None:
    with pytest.raises(KimiInputError, match=r"names the column '[a1]' twice\. Nothing was sent\."):
        rows_of(pandas.DataFrame([[1, 2]], columns=names))


@pytest.mark.parametrize(
    "value", [pandas.Series([1]), polars.Series([1]), polars.LazyFrame({}), [1], {}, None], ids=type
)
def test_other_values_are_no_data_frames(value: object) -> None:
    assert not is_frame(value)
