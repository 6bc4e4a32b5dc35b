"""Whether an answer can be used, beyond that there is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.rows import RESULT_FIELDS, ROW_STATUSES, Row, RowStatus
from airflow_provider_kimi.results.answer_check import AnswerCheck, Reasoning
from airflow_provider_kimi.results.schema import read_schema

LABELS = read_schema(["positive", "negative"])


def judged(content: str | None, check: AnswerCheck, status: RowStatus = "succeeded") -> Row:
    return check.judge(Row(custom_id="a", status=status, content=content, completion_tokens=5))


class TestThoughts:
    """T63: the chain of thought is no label."""

    @pytest.mark.parametrize(
        ("content", "answer", "thoughts"),
        [
            ("<think>hm</think>positive", "positive", "hm"),
            ("\n<think>\nhm\nhm\n</think>\n\npositive\n", "positive\n", "hm\nhm"),
            ("hm, so</think>positive", "positive", "hm, so"),
            ("<think></think>positive", "positive", ""),
        ],
    )
    def test_that_leaked_are_taken_out_and_told(self, content: str, answer: str, thoughts: str) -> None:
        row = judged(content, AnswerCheck())
        assert (row.status, row.content, row.reasoning, row.leaked) == ("succeeded", answer, thoughts, True)

    @pytest.mark.parametrize("content", ["<think>hm</think>", "<think>hm</think> \n", "<think>hm", "hm</think>"])
    def test_alone_are_no_answer(self, content: str) -> None:
        row = judged(content, AnswerCheck())
        assert (row.status, row.error_code, row.content, row.completion_tokens) == ("invalid", "empty_answer", "", 5)

    def test_that_were_cut_off_leave_a_truncated_row(self) -> None:
        row = judged("<think>hm", AnswerCheck(), "truncated")
        assert (row.status, row.content, row.reasoning) == ("truncated", "", "hm")

    @pytest.mark.parametrize("content", ["positive", "", None, "I rethink> it", "a <thinking> b"])
    def test_that_are_none_are_left(self, content: str | None) -> None:
        row = judged(content, AnswerCheck())
        assert (row.content, row.leaked) == (content, False)

    def test_are_kept_where_that_is_asked_for(self) -> None:
        row = judged("<think>hm</think>positive", AnswerCheck(reasoning="keep"))
        assert (row.content, row.leaked) == ("<think>hm</think>positive", False)

    def test_that_came_apart_stay_what_they_are(self) -> None:
        row = AnswerCheck().judge(
            Row(custom_id="a", status="succeeded", content="<think>hm</think>x", reasoning="apart")
        )
        assert (row.content, row.reasoning) == ("x", "apart")

    @pytest.mark.parametrize("content", ['{"label": "the tag </think> ends it"}', '["</think>"]', "`</think>` ends it"])
    def test_are_none_where_an_answer_speaks_of_the_tag(self, content: str) -> None:
        row = judged(content, AnswerCheck())
        assert (row.content, row.leaked) == (content, False)

    def test_that_came_apart_leave_a_tag_in_the_answer_alone(self) -> None:
        row = AnswerCheck().judge(Row(custom_id="a", status="succeeded", content="a </think> b", reasoning="apart"))
        assert (row.content, row.reasoning) == ("a </think> b", "apart")

    def test_do_not_count_as_the_label(self) -> None:
        assert judged("<think>negative?</think>positive", AnswerCheck(LABELS)).parsed == "positive"


class TestASchema:
    def test_gives_the_value(self) -> None:
        row = judged("Positive.", AnswerCheck(LABELS))
        assert (row.status, row.content, row.parsed) == ("succeeded", "Positive.", "positive")

    def test_that_is_not_kept_makes_a_row_invalid_and_keeps_its_text(self) -> None:
        row = judged("SECRET", AnswerCheck(LABELS))
        assert (row.status, row.content, row.parsed) == ("invalid", "SECRET", None)
        assert (row.error_code, row.error_message) == ("schema_mismatch", "the answer is none of the labels")
        assert row.completion_tokens == 5

    @given(status=st.sampled_from([status for status in ROW_STATUSES if status != "succeeded"]))
    def test_says_nothing_of_a_row_that_did_not_work(self, status: RowStatus) -> None:
        assert judged("positive", AnswerCheck(LABELS), status) == judged("positive", AnswerCheck(), status)


@pytest.mark.parametrize(
    ("check", "absent"),
    [
        (AnswerCheck(), {"parsed", "reasoning"}),
        (AnswerCheck(LABELS), {"reasoning"}),
        (AnswerCheck(LABELS, "column"), set()),
    ],
)
def test_fields_are_those_that_are_asked_for(check: AnswerCheck, absent: set[str]) -> None:
    assert [name for name in RESULT_FIELDS if name not in absent] == list(check.fields)


@given(content=st.text(), reasoning=st.sampled_from(["drop", "column", "keep"]))
def test_any_answer_is_judged(content: str, reasoning: Reasoning) -> None:
    row = judged(content, AnswerCheck(LABELS, reasoning))
    assert row.status in ("succeeded", "invalid")
    assert (row.parsed is None) == (row.status == "invalid")
