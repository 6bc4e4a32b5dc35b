"""Columns that stand in the names of directories."""

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kimi.requests.partitions import columns_of, conflict, is_partition


@pytest.mark.parametrize(
    ("folder", "is_one"), [("day=1", True), ("day=", True), ("a=b=c", True), ("day", False), ("=1", False), ("", False)]
)
def test_a_directory_with_a_name_before_an_equals_sign_is_a_partition(folder: str, is_one: bool) -> None:
    assert is_partition(folder) == is_one


def test_names_and_values_are_texts_without_their_escapes() -> None:
    folders = ["a%20b=x%3Dy", "plain", "empty=", "none=__HIVE_DEFAULT_PARTITION__", "城市=北京", "number=01"]
    assert columns_of(folders) == {"a b": "x=y", "empty": "", "none": None, "城市": "北京", "number": "01"}


def test_a_column_may_stand_twice_with_one_value() -> None:
    assert columns_of(["day=1", "x", "day=1"]) == {"day": "1"}
    with pytest.raises(ValueError, match="is in two directories of the column 'day'"):
        columns_of(["day=1", "day=01"])


@pytest.mark.parametrize(
    ("value", "text", "is_same"),
    [
        *(("1", "1", True), (1, "1", True), (1, "01", True), (1.0, "1", True), (2, "1", False), (1, "one", False)),
        *((True, "true", True), (True, "True", True), (False, "true", False), (True, "1", False)),
        *(
            (None, None, True),
            ("", None, True),
            (None, "1", False),
            ("1", None, False),
            (Decimal("1.50"), "1.50", True),
        ),
    ],
)
def test_a_row_may_repeat_the_value_of_its_directory(value: Any, text: str | None, is_same: bool) -> None:
    assert conflict({"a": value, "b": 0}, {"c": "x", "a": text}) == (None if is_same else "a")
