"""A check of the user's own: what it refuses is invalid with its reason, whatever else it does."""

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.row_check import read_check
from airflow_provider_kimi.results.schema import read_schema


def refused(content: str, check: AnswerCheck, columns: dict[str, object] | None = None) -> tuple[str, str | None]:
    row = check.judge(Row(custom_id="a", status="succeeded", content=content), columns)
    assert row.content == content
    assert row.error_code == (None if row.status == "succeeded" else "check")
    return row.status, row.error_message


def no_evidence(row: Mapping[str, Any]) -> str | None:
    return None if row["evidence"] in row["content"] else f"{row['custom_id']} does not quote the text"


def test_a_row_that_the_users_check_refuses_is_invalid_with_its_reason() -> None:
    check = AnswerCheck(check=no_evidence)
    assert refused("they love it", check, {"evidence": "love"}) == ("succeeded", None)
    assert refused("they hate it", check, {"evidence": "love"}) == ("invalid", "a does not quote the text")


def test_the_users_check_sees_the_parsed_value_and_only_rows_that_fit_the_schema() -> None:
    seen: list[Any] = []
    check = AnswerCheck(read_schema(["positive", "negative"]), check=lambda row: seen.append(row["parsed"]))
    for content in ("Positive.", "maybe", "<think>negative</think>positive"):
        check.judge(Row(custom_id="a", status="succeeded", content=content))
    check.judge(Row(custom_id="a", status="truncated", content="positive"))
    assert seen == ["positive", "positive"]


def test_a_reason_of_the_users_check_is_cut() -> None:
    assert refused("x", AnswerCheck(check=lambda row: "é" * 1000)) == ("invalid", "é" * 200)


def breaks(row: Mapping[str, Any]) -> None:
    raise KeyError(row["content"])


def test_a_check_that_raises_makes_the_row_invalid_with_the_type_and_the_line_of_the_error() -> None:
    line = breaks.__code__.co_firstlineno + 1
    assert refused("SECRET", AnswerCheck(check=breaks)) == ("invalid", f"the check raises KeyError in line {line}")
    assert refused("SECRET", AnswerCheck(check=int)) == ("invalid", "the check raises TypeError")  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [True, False, 0, [], "", " ", ("a",)], ids=repr)
def test_a_check_that_returns_neither_none_nor_a_reason_is_named_in_the_row(said: object) -> None:
    status, message = refused("x", AnswerCheck(check=lambda row: said))
    assert status == "invalid"
    assert message is not None
    assert message.startswith("the check returned a ")


def test_a_check_changes_nothing_of_the_row() -> None:
    def spoil(row: Mapping[str, Any]) -> None:
        row["parsed"]["a"] = 2
        row["tags"].append("x")

    tags: list[str] = []
    check = AnswerCheck(read_schema({"type": "object"}), check=spoil)
    row = check.judge(Row(custom_id="a", status="succeeded", content='{"a": 1}'), {"tags": tags})
    assert (row.status, row.parsed, tags) == ("succeeded", {"a": 1}, [])
    assigning = AnswerCheck(check=lambda row: row.update(content="y"))  # type: ignore[attr-defined]
    assert refused("x", assigning)[0] == "invalid"


async def waits(row: object) -> None:
    """A check that nothing could await."""


@pytest.mark.parametrize("given", ["content", 7, {"a": 1}, waits], ids=repr)
def test_a_check_that_is_not_a_function_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="check is an? .*; it must be a function that takes a row"):
        read_check(given)
