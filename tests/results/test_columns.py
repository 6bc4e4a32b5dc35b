"""The columns of the input are joined to the results."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.requests.keys import custom_id_of
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.results.columns import ColumnSource, renamed

#: A results row as the contract has it; `parsed` needs an output schema.
CONTRACT = (
    *("custom_id", "status", "content", "finish_reason", "error_code", "error_message"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "model", "batch_id", "round"),
)

#: What makes a row a request, beside its custom_id.
REQUEST = {"method": "POST", "url": "/v1/chat/completions", "body": {}}

ROWS = [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}, {"id": "c", "text": "z"}]


def columns_of(source: ColumnSource, custom_id: str, *sent: Any) -> dict[str, Any]:
    """The columns of the row of a request, as results name them."""
    return renamed(source.row_of(custom_id, *sent))


def test_rows_without_a_key_are_found_by_their_place() -> None:
    source = ColumnSource(ROWS, None)
    assert [columns_of(source, f"row-0000000{number}") for number in (1, 2, 3)] == ROWS


def test_rows_are_found_by_their_key() -> None:
    """Joined by name, never by position."""
    source = ColumnSource(ROWS, "id")
    assert columns_of(source, "a") == ROWS[0]
    assert columns_of(source, "c") == ROWS[2]


def test_a_numeric_key_is_found_by_its_text() -> None:
    assert columns_of(ColumnSource([{"id": 7}], "id"), "7") == {"id": 7}


@pytest.mark.parametrize("key_column", ["id", ["id"], ("id", "part")], ids=str)
@pytest.mark.parametrize(
    "keys", [("a", "b"), ("a key that is sent under another name", "客户"), (1.5, 10**30)], ids=str
)
def test_rows_are_found_by_the_id_that_their_key_becomes(keys: tuple[Any, Any], key_column: Any) -> None:
    rows = [{"id": keys[0], "part": 1}, {"id": keys[1], "part": 2}]
    source = ColumnSource(rows, key_column)
    assert columns_of(source, custom_id_of(rows[1], 2, key_column)) == rows[1]


def test_the_input_is_read_no_further_than_needed() -> None:
    read = []

    def rows() -> Iterator[dict[str, str]]:
        for row in ROWS:
            read.append(row["id"])
            yield row

    source = ColumnSource(rows(), "id")
    assert read == []
    columns_of(source, "b")
    assert read == ["a", "b"]


def test_every_field_of_the_contract_is_a_field_of_a_result() -> None:
    assert set(CONTRACT) <= set(RESULT_FIELDS)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_column_with_the_name_of_a_result_field_gets_a_prefix(name: str) -> None:
    source = ColumnSource([{"key": "k", name: "mine"}], "key")
    assert columns_of(source, "k") == {"key": "k", f"input_{name}": "mine"}


def test_a_column_with_another_name_keeps_its_name() -> None:
    source = ColumnSource([{"key": "k", "Status": 1, "input_x": 2}], "key")
    assert columns_of(source, "k") == {"key": "k", "Status": 1, "input_x": 2}


@pytest.mark.parametrize(
    ("values", "custom_id"),
    [
        pytest.param(["a prompt"], "row-00000001", id="prompt"),
        pytest.param([[{"role": "user", "content": "u"}]], "row-00000001", id="chat"),
        pytest.param([{"custom_id": "k", **REQUEST}], "k", id="request"),
        pytest.param([{"custom_id": "k", **REQUEST, "note": "x"}], "k", id="request with a key more"),
        pytest.param([{"custom_id": 7, **REQUEST}], "7", id="request with a number as its id"),
    ],
)
def test_an_element_that_is_not_a_row_of_a_table_has_no_columns(values: list[object], custom_id: str) -> None:
    assert columns_of(ColumnSource(values, None), custom_id) == {}


@pytest.mark.parametrize("left_out", ["custom_id", "method", "url", "body"])
def test_a_row_with_some_keys_of_a_request_is_a_table_row(left_out: str) -> None:
    request = {"custom_id": "k", **REQUEST}
    row = {"id": "a", **{name: value for name, value in request.items() if name != left_out}}
    expected = {f"input_{name}" if name == "custom_id" else name: value for name, value in row.items()}
    assert columns_of(ColumnSource([row], None), "row-00000001") == expected
    assert columns_of(ColumnSource([row], "id"), "a") == expected


def test_a_table_with_the_columns_custom_id_and_body_keeps_them() -> None:
    source = ColumnSource([{"custom_id": "k", "body": "text of a mail"}], "custom_id")
    assert columns_of(source, "k") == {"input_custom_id": "k", "body": "text of a mail"}


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
    assert columns_of(ColumnSource([row], None), "row-00000001") == columns


@given(
    row=st.dictionaries(st.sampled_from([f"{'input_' * n}{name}" for n in range(4) for name in CONTRACT]), st.text())
)
def test_no_value_of_a_row_is_lost(row: dict[str, str]) -> None:
    columns = columns_of(ColumnSource([row], None), "row-00000001")
    assert sorted(columns.values()) == sorted(row.values())
    assert not set(columns) & set(CONTRACT)
    assert all(columns[name] == value for name, value in row.items() if name not in CONTRACT)


@pytest.mark.parametrize("name", ["image", "status"])
def test_a_column_of_bytes_is_not_in_the_results(name: str) -> None:
    source = ColumnSource([{"id": "a", name: b"GIF8", "text": "x"}], "id")
    assert columns_of(source, "a") == {"id": "a", "text": "x"}


def test_a_row_without_a_key_is_passed_over() -> None:
    assert columns_of(ColumnSource([{"id": None}, "text", {"id": "b"}], "id"), "b") == {"id": "b"}


def assert_refused(source: ColumnSource, custom_id: str) -> None:
    with pytest.raises(
        KimiInputError,
        match="The input is not the one of the batch, has changed since, or .*No row in its place has the name '.*'",
    ):
        columns_of(source, custom_id)


def test_an_input_without_the_row_is_refused() -> None:
    assert_refused(ColumnSource(ROWS, "id"), "d")


def test_an_empty_input_is_refused() -> None:
    assert_refused(ColumnSource([], None), "row-00000001")


def test_an_input_in_another_order_is_refused() -> None:
    source = ColumnSource(ROWS, "id")
    columns_of(source, "b")
    assert_refused(source, "a")


def test_an_input_of_requests_with_other_ids_is_refused() -> None:
    assert_refused(ColumnSource([{"custom_id": "k", **REQUEST}], None), "row-00000002")


def test_an_input_with_another_key_column_is_refused() -> None:
    assert_refused(ColumnSource(ROWS, "text"), "a")


def test_the_refusal_of_an_input_cuts_a_long_id() -> None:
    with pytest.raises(KimiInputError) as caught:
        columns_of(ColumnSource([], None), "x" * 500)
    assert f"{'x' * 80!r}" in str(caught.value)
    assert "x" * 81 not in str(caught.value)
    assert "Nothing was landed" in str(caught.value)


def test_bytes_and_lists_of_bytes_are_not_in_the_results() -> None:
    assert renamed({"id": 1, "photo": b"GIF8", "photos": [b"GIF8"], "tags": ["a"]}) == {"id": 1, "tags": ["a"]}


def sent_line(text: str) -> bytes:
    return Recipe("m", prompt="On {text}!").way.line({"text": text}, "a")


@pytest.mark.parametrize("now", ["new", "old and more", "OLD", "<old>"])
def test_a_row_whose_text_has_changed_since_it_was_sent_is_refused(now: str) -> None:
    source = ColumnSource([{"id": "a", "text": now}], "id")
    with pytest.raises(KimiInputError, match=r"^Row 'a' of the input has changed: column 'text' no longer holds"):
        columns_of(source, "a", sent_line("old"), ["text"])


@given(text=st.text(st.characters(codec="utf-8")).filter(str.strip))
def test_a_row_whose_text_has_not_changed_is_accepted(text: str) -> None:
    row = {"id": "a", "text": text}
    for line in (sent_line(text), json.dumps(json.loads(sent_line(text))).encode()):
        assert columns_of(ColumnSource([row], "id"), "a", line, ["text"]) == row


@pytest.mark.parametrize("value", [7, None, 1.5], ids=str)
def test_a_changed_value_that_is_not_text_is_not_noticed(value: object) -> None:
    row = {"id": "a", "text": value}
    assert columns_of(ColumnSource([row], "id"), "a", sent_line("old"), ["text", "gone"]) == row
