"""How a line says that its answer is whole: by the status code, the error, and the reason why the answer ended."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.files.line_ids import is_answer
from airflow_provider_kimi.results.answer_lines import read_row
from airflow_provider_kimi.results.tally import Tally
from tests.support.samples import answer_body, output_line

#: Errors in which nothing is filled in.
EMPTY_ERRORS: list[Any] = [
    {"code": "", "message": ""},
    {"code": None, "type": "", "message": " ", "param": None},
    {"error": {"code": "", "message": ""}},
    {"error": {}},
    {"details": [], "code": 0},
    " ",
    [],
]


def with_status_code(code: object) -> bytes:
    return output_line("a", response={"status_code": code, "body": answer_body()})


@pytest.mark.parametrize("code", ["200", " 200 ", "0", "", 200.0])
def test_a_status_code_of_success_may_be_a_text(code: object) -> None:
    assert read_row(with_status_code(code)).status == "succeeded"


@pytest.mark.parametrize("code", ["400", "500", 204, [200], {"200": 200}, "OK"])
def test_any_other_status_code_is_a_failure(code: object) -> None:
    assert read_row(with_status_code(code)).status == "failed"


@pytest.mark.parametrize("error", EMPTY_ERRORS, ids=repr)
def test_an_error_in_which_nothing_is_filled_in_leaves_the_answer(error: object) -> None:
    beside = output_line("a", error=error)
    inside = output_line("a", body={**answer_body(), "error": error})
    for line in (beside, inside):
        row = read_row(line)
        assert (row.status, row.content) == ("succeeded", "positive")
    assert is_answer(beside), "its row is not asked and paid again"


@pytest.mark.parametrize("error", EMPTY_ERRORS, ids=repr)
def test_an_empty_error_does_not_hide_the_error_in_the_body(error: object) -> None:
    row = read_row(output_line("a", body={"error": {"type": "engine_error", "message": "m"}}, error=error))
    assert (row.status, row.error_code, row.error_message) == ("failed", "engine_error", "m")


def test_an_empty_error_without_an_answer_is_a_failed_row() -> None:
    row = read_row(output_line("a", response=None, error={"code": "", "message": ""}))
    assert (row.status, row.error_code) == ("failed", "no_answer")
    assert not is_answer(output_line("a", response=None, error={"code": "", "message": ""}))


def test_an_answer_whose_body_is_the_text_of_json_is_an_answer() -> None:
    assert is_answer(output_line("a", response={"status_code": 200, "body": json.dumps(answer_body())}))
    assert not is_answer(output_line("a", response={"status_code": 200, "body": "<html>"}))


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call", "", None])
def test_an_answer_that_ended_by_itself_succeeds(reason: str | None) -> None:
    assert read_row(output_line("a", body=answer_body("yes", reason))).status == "succeeded"


def test_an_answer_that_reached_its_tokens_is_truncated_in_either_word() -> None:
    cut, also_cut = (read_row(output_line("a", body=answer_body("ye", word))) for word in ("length", "max_tokens"))
    assert (also_cut.status, also_cut.error_code) == (cut.status, cut.error_code) == ("truncated", "length")


@pytest.mark.parametrize("reason", ["error", "abort", "STOPPED BY A POLICY", ["stop"], 7])
@pytest.mark.parametrize("content", ["yes", ""])
def test_an_answer_that_ended_for_another_reason_is_invalid_and_billed(reason: object, content: str) -> None:
    row = read_row(output_line("a", body={**answer_body(content, reason), "usage": None}))
    assert (row.status, row.error_code, row.content) == ("invalid", "finish_reason", content)
    word = reason if isinstance(reason, str) else type(reason).__name__
    assert row.error_message is not None
    assert repr(word) in row.error_message
    tally = Tally()
    tally.add(row)
    assert tally.uncounted == 1, "it is billed, so its tokens are looked for"


def test_a_long_word_for_the_end_of_an_answer_is_cut_in_the_message() -> None:
    row = read_row(output_line("a", body=answer_body("yes", "x" * 1000)))
    assert row.error_message is not None
    assert "x" * 40 in row.error_message
    assert "x" * 41 not in row.error_message


@given(
    error=st.sampled_from([None, *EMPTY_ERRORS, {"code": "c"}, "m"]),
    inner=st.sampled_from([None, *EMPTY_ERRORS, {"message": "m"}]),
    code=st.sampled_from([200, "200", 0, "0", None, "", 400, "400", False, 200.0]),
    reason=st.sampled_from(["stop", None, "", "length", "max_tokens", "content_filter", "error", "abort", 7, ["stop"]]),
    content=st.sampled_from(["yes", "", None]),
    as_text=st.booleans(),
)
def test_a_line_is_judged_alike_in_one_go_and_leniently(
    error: Any, inner: Any, code: Any, reason: Any, content: str | None, as_text: bool
) -> None:
    body = {**answer_body(content, reason), "error": inner}
    response = {"status_code": code, "body": body}
    usual = output_line("a", response=response, error=error)
    leniently = usual[:-1] + b',"odd":NaN}'
    assert read_row(usual) == read_row(leniently)
    if as_text:
        assert read_row(output_line("a", response={**response, "body": json.dumps(body)}, error=error)) == read_row(
            usual
        )


def test_thoughts_that_come_as_a_part_of_the_content_are_not_the_answer() -> None:
    parts = [{"type": "thinking", "text": "hmm"}, {"type": "text", "text": "A"}, {"text": "B"}]
    row = read_row(output_line("a", body=answer_body(parts)))
    assert (row.status, row.content) == ("succeeded", "AB")
