"""Whether an answer can be used, beyond that there is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.choices import Reasoning
from airflow_provider_kimi.records.rows import RESULT_FIELDS, ROW_STATUSES, Row, RowStatus
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.schema import read_schema

LABELS = read_schema(["positive", "negative"])


def judged(content: str | None, check: AnswerCheck, status: RowStatus = "succeeded") -> Row:
    return check.judge(Row(custom_id="a", status=status, content=content, completion_tokens=5))


@pytest.mark.parametrize(
    ("content", "answer", "thoughts"),
    [
        ("<think>hm</think>positive", "positive", "hm"),
        ("\n<think>\nhm\nhm\n</think>\n\npositive\n", "positive\n", "hm\nhm"),
        ("hm, so</think>positive", "positive", "hm, so"),
        ("<think></think>positive", "positive", ""),
        ("<THINK>hm</THINK>positive", "positive", "hm"),
        ("< Think >hm</ Think >positive", "positive", "hm"),
        ('<think budget="low">hm</think>positive', "positive", "hm"),
        ("<think/>positive", "positive", ""),
        ("<think>hm</think>\n<think>so</think>\npositive", "positive", "hm\n\nso"),
        ("<think>hm</think><THINK>so</THINK><think></think>positive", "positive", "hm\n\nso"),
        ("hm\n</think>\n\npositive", "positive", "hm"),
        ("</think>\npositive", "positive", ""),
        ("I could mention </think> here.\n</think>\npositive", "positive", "I could mention </think> here."),
        ("想一想。</think>正面", "正面", "想一想。"),
        ("想一想</think>\n正面", "正面", "想一想"),
        ("</think>正面", "正面", ""),
        ("<think>a <think>b</think> c</think>X", "X", "a <think>b</think> c"),
        ("<think><THINK><think/>b</THINK>\n</think>\n<think>d</think>X", "X", "<THINK><think/>b</THINK>\n\nd"),
        ("<think>a tag <think> opens them</think>X", "X", "a tag <think> opens them"),
        ("<think>a <think> b</think><think>c</think>X", "X", "a <think> b\n\nc"),
        ("◁think▷hm◁/think▷positive", "positive", "hm"),
        ("◁think▷a <think>b</think> c\n◁/think▷\npositive", "positive", "a <think>b</think> c"),
        ("hm\n◁/think▷\npositive", "positive", "hm"),
    ],
)
def test_thoughts_that_leaked_are_removed_from_the_answer(content: str, answer: str, thoughts: str) -> None:
    row = judged(content, AnswerCheck())
    assert (row.status, row.content, row.reasoning, row.leaked) == ("succeeded", answer, thoughts, True)


@pytest.mark.parametrize(
    "content", ["<think>hm</think>", "<think>hm</think> \n", "<think>hm", "hm</think>", "◁think▷hm"]
)
def test_thoughts_alone_are_an_empty_answer(content: str) -> None:
    row = judged(content, AnswerCheck())
    assert (row.status, row.error_code, row.content, row.completion_tokens) == ("invalid", "empty_answer", "", 5)


def test_thoughts_that_were_cut_off_leave_a_truncated_row() -> None:
    row = judged("<think>hm", AnswerCheck(), "truncated")
    assert (row.status, row.content, row.reasoning) == ("truncated", "", "hm")


@pytest.mark.parametrize("content", ["positive", "", None, "I rethink> it", "a <thinking> b"])
def test_an_answer_without_thoughts_is_not_changed(content: str | None) -> None:
    row = judged(content, AnswerCheck())
    assert (row.content, row.leaked) == (content, False)


def test_thoughts_stay_in_the_answer_with_reasoning_keep() -> None:
    row = judged("<think>hm</think>positive", AnswerCheck(reasoning="keep"))
    assert (row.content, row.leaked) == ("<think>hm</think>positive", False)


def test_thoughts_that_came_apart_from_the_answer_are_not_replaced() -> None:
    row = AnswerCheck().judge(Row(custom_id="a", status="succeeded", content="<think>hm</think>x", reasoning="apart"))
    assert (row.content, row.reasoning) == ("x", "apart")


@pytest.mark.parametrize(
    "content",
    [
        '{"label": "the tag </think> ends it"}',
        '["</think>"]',
        "`</think>` ends it",
        "The tag </think> closes it",
        "Thoughts stand between <think> and </think>, as in <think>hm</think>.",
        "Close it with the tag '</think>'.",
        "Close it with (</think>).",
        "The tag is </think>",
        "标签</think>表示结束",
        "So:\n```xml\n</think>\n```",
        "So: <THINK>hm</THINK>",
        "positive <think>or not?</think>",
        "The tags are ◁think▷ and ◁/think▷.",
        "positive ◁think▷or not?◁/think▷",
    ],
)
def test_an_answer_that_mentions_a_tag_keeps_its_text(content: str) -> None:
    row = judged(content, AnswerCheck())
    assert (row.content, row.leaked) == (content, False)


@pytest.mark.parametrize("mention", ["The tags <think> and </think> hold thoughts.", "a </think> b", "<b>\n</think>\n"])
def test_a_mention_behind_thoughts_stays_in_the_answer(mention: str) -> None:
    row = judged(f"<think>hm</think>\n{mention}", AnswerCheck())
    assert (row.content, row.reasoning) == (mention, "hm")


def test_very_many_blocks_are_parted_in_time() -> None:
    row = judged("<think>a<think>b</think>" * 20_000 + "X", AnswerCheck())
    assert (row.content, row.leaked) == ("X", True)


def test_a_last_block_that_is_not_closed_is_all_thoughts() -> None:
    row = judged("<think>hm</think><think>so positive", AnswerCheck())
    assert (row.status, row.content, row.reasoning) == ("invalid", "", "hm\n\nso positive")


@pytest.mark.parametrize("content", ["hm\n</think>\npositive", "<think> is the tag"])
def test_nothing_is_half_open_if_thoughts_came_apart(content: str) -> None:
    row = AnswerCheck().judge(Row(custom_id="a", status="succeeded", content=content, reasoning="apart"))
    assert (row.status, row.content, row.leaked) == ("succeeded", content, False)


def test_a_closing_tag_stays_in_the_answer_if_thoughts_came_apart() -> None:
    row = AnswerCheck().judge(Row(custom_id="a", status="succeeded", content="a </think> b", reasoning="apart"))
    assert (row.content, row.reasoning) == ("a </think> b", "apart")


def test_a_label_in_the_thoughts_is_not_the_answer() -> None:
    assert judged("<think>negative?</think>positive", AnswerCheck(LABELS)).parsed == "positive"


def test_an_answer_that_fits_the_schema_has_a_parsed_value() -> None:
    row = judged("Positive.", AnswerCheck(LABELS))
    assert (row.status, row.content, row.parsed) == ("succeeded", "Positive.", "positive")


def test_an_answer_that_does_not_fit_the_schema_is_invalid_and_keeps_its_text() -> None:
    row = judged("SECRET", AnswerCheck(LABELS))
    assert (row.status, row.content, row.parsed) == ("invalid", "SECRET", None)
    assert (row.error_code, row.error_message) == (
        "schema_mismatch",
        "the answer is none of the 2 labels (it has 6 characters)",
    )
    assert row.completion_tokens == 5


@given(status=st.sampled_from([status for status in ROW_STATUSES if status != "succeeded"]))
def test_a_row_that_did_not_succeed_is_not_checked_against_the_schema(status: RowStatus) -> None:
    assert judged("positive", AnswerCheck(LABELS), status) == judged("positive", AnswerCheck(), status)


@pytest.mark.parametrize(
    ("check", "absent"),
    [
        (AnswerCheck(), {"parsed", "reasoning"}),
        (AnswerCheck(LABELS), {"reasoning"}),
        (AnswerCheck(LABELS, "column"), set()),
    ],
    ids=["no schema", "a schema", "a schema and a column of thoughts"],
)
def test_the_fields_of_a_result_depend_on_schema_and_reasoning(check: AnswerCheck, absent: set[str]) -> None:
    assert [name for name in RESULT_FIELDS if name not in absent] == list(check.fields)


@given(content=st.text(), reasoning=st.sampled_from(["drop", "column", "keep"]))
def test_any_answer_either_succeeds_with_a_value_or_is_invalid(content: str, reasoning: Reasoning) -> None:
    row = judged(content, AnswerCheck(LABELS, reasoning))
    assert row.status in ("succeeded", "invalid")
    assert (row.parsed is None) == (row.status == "invalid")
