"""Which columns of the input go into the results."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.results.columns import encoded
from airflow_provider_kimi.results.passed_columns import PassedColumns, Selection, holds_bytes, kept, result_names

ROW = {"id": 1, "text": "很好", "email": "a@b.c"}


def test_select_keeps_its_columns_in_its_order_and_exclude_all_others() -> None:
    assert list(kept(ROW, Selection.of(["text", "id"], None)).items()) == [("text", "很好"), ("id", 1)]
    assert kept(ROW, Selection.of(None, "email")) == {"id": 1, "text": "很好"}
    assert kept(ROW, Selection()) == ROW


@pytest.mark.parametrize(
    "value",
    [
        b"GIF8",
        bytearray(b"GIF8"),
        [b"GIF8"],
        {"bytes": b"GIF8", "path": "a.gif"},
        [{"bytes": b"GIF8", "path": "a.gif"}],
        {"a": {"b": [[{"c": b"GIF8"}]]}},
        ("a", b"GIF8"),
    ],
    ids=str,
)
def test_bytes_at_any_depth_are_left_out(value: Any) -> None:
    assert encoded({"id": 1, "photo": value}) == b'{"id":1}'
    assert not holds_bytes({"bytes": None, "path": ["a.gif"]})


@pytest.mark.parametrize(
    ("select", "exclude", "problem"),
    [
        (["a"], ["b"], "select and exclude are both given"),
        ([], None, r"select is \[\]; it must be the name of a column, or a list of names"),
        (None, 7, "exclude is 7; it must be the name of a column"),
        (None, [""], "exclude is"),
    ],
)
def test_a_selection_that_says_nothing_clear_is_refused(select: Any, exclude: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Selection.of(select, exclude)


@pytest.mark.parametrize(("parameter", "given_"), [("select", (["id", "mail"], None)), ("exclude", (None, ["mail"]))])
def test_a_name_that_no_row_has_is_refused(parameter: str, given_: Any) -> None:
    """A misspelled name would land personal data."""
    passed = PassedColumns(Selection.of(*given_))
    passed.check()
    passed.of(ROW)
    with pytest.raises(KimiInputError, match=f"^{parameter} names columns that no row of the input has: 'mail'"):
        passed.check()
    passed.of({"mail": None})
    passed.check()


def test_the_note_of_a_dead_letter_may_lack_what_was_excluded_before() -> None:
    passed = PassedColumns(Selection.of(None, ["email"]))
    assert passed.of({"id": 1}, is_note=True) == {"id": 1}
    passed.check()


@given(columns=st.lists(st.sampled_from(["status", "input_status", "input_input_status", "a", "input_a"]), unique=True))
def test_no_column_of_the_input_hides_another_or_one_of_ours(columns: list[str]) -> None:
    names = result_names(columns)
    assert list(names) == columns
    assert len(set(names.values())) == len(columns)
    assert "status" not in names.values()
    assert all(name == column for column, name in names.items() if column != "status")
