"""A check of the user's own: what it refuses is invalid with its reason, whatever else it does."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
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


class Refuses:
    """A check that holds something."""

    def __call__(self, row: object) -> None:
        """Accept the row."""

    def method(self, row: object, limit: int = 3, *others: object, **more: object) -> None:
        """Accept the row."""

    async def waits(self, row: object) -> None:
        """A check that nothing could await."""


class Waits:
    """A check that nothing could await."""

    async def __call__(self, row: object) -> None:
        """Accept the row, later."""


def of_two(row: object, limit: int) -> None:
    """A check of two parameters."""


def named_only(row: object, *, limit: int) -> None:
    """A check with a parameter that it does not get."""


def yields(row: object) -> Iterator[None]:
    """A check that returns something else in any case."""
    yield None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (lambda: None, "is '<lambda>', which cannot be called with a row alone"),
        (of_two, "is 'of_two', which cannot be called with a row alone"),
        (named_only, "is 'named_only', which cannot be called with a row alone"),
        (Refuses.method, "is 'method', which cannot be called with a row alone"),
        (partial(of_two, {}, 3), "is 'partial', which cannot be called with a row alone"),
        (Refuses, "is the class Refuses"),
        (dict, "is the class dict"),
        (yields, "is a generator function"),
        (Waits(), "is an async function"),
        (Refuses().waits, "is an async function"),
    ],
)
def test_a_check_that_cannot_be_called_with_one_row_is_refused(given: object, why: str) -> None:
    with pytest.raises(ValueError, match=f"check {why}.*; it must be a function that takes a row"):
        read_check(given)


@pytest.mark.parametrize(
    "given",
    [
        lambda row: None,
        lambda *rows: None,
        Refuses(),
        Refuses().method,
        partial(of_two, limit=3),
        print,
        {"a": None}.get,
        str.strip,
    ],
)
def test_a_check_that_can_be_called_with_one_row_is_accepted(given: object) -> None:
    assert read_check(given) is given


def test_a_check_that_cannot_be_called_with_one_row_is_refused_while_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="cannot be called with a row alone"):
        KimiBatchResultsOperator(task_id="results", batch_id="b", output="/tmp", check=of_two)  # type: ignore[arg-type]
