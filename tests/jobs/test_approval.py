"""Which job a person has to approve, what that person reads, and what the answer means."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.jobs.approval import (
    SAMPLE_CHARACTERS,
    SAMPLE_LINES,
    Approved,
    Question,
    fenced,
    is_to_be_asked,
    question,
    read_answer,
)
from airflow_provider_kimi.jobs.cost_limit import read_approve_over
from airflow_provider_kimi.jobs.estimate import Estimate, Range

PRICES = PRICE_LISTS["cn"]
COST = Range(1, 2, 3.5)
MARKDOWN = MarkdownIt("commonmark").enable("table")

#: Text that would end a block of code, start another, or be a link, a picture or HTML outside of one.
PIECES = ["```", "````", "~~~", "\n", "\r\n", "\r", "\u2028", "`", "    ", "\t", "> ", "- ", "# ", "|", "</code></pre>"]
PIECES += [
    "<script>x()</script>",
    "[a](javascript:x)",
    "![b](http://host/c.png)",
    "\u202e",
    "\x00",
    "\ud800",
    "很好",
    "text",
]
HOSTILE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3))).map("".join)


def asked(*samples: str, cost: Range | None = COST, model: str = "kimi-k2.6") -> Question:
    said = ["Every row is asked once: further rounds come on top.", "A thing_with_marks *and* [more](x)."]
    estimate = Estimate(model, 2_000, Range(100, 110, 120), Range(2_000, 9_000, 32_000), cost, said)
    return question(Approved("f", cost.high if cost else None), estimate, 2, PRICES, samples)


@pytest.mark.parametrize(
    ("given", "over"), [(None, None), ("None", None), (0, 0.0), ("0", 0.0), (5, 5.0), (" 0.5 ", 0.5)]
)
def test_the_amount_is_a_number_or_its_text(given: object, over: float | None) -> None:
    assert read_approve_over(given, can_ask=True) == over


@pytest.mark.parametrize("given", [-1, True, "abc", "", "5 CNY", float("nan"), float("inf"), [5]], ids=repr)
def test_another_amount_is_refused_in_plain_words(given: object) -> None:
    with pytest.raises(KimiInputError, match=r"approve_over is .* an amount of money such as 5 or 0\.5, or 0 to ask"):
        read_approve_over(given, can_ask=True)


def test_an_airflow_in_which_nobody_can_approve_refuses_the_amount_but_not_its_absence() -> None:
    with pytest.raises(KimiInputError, match=r"approve_over needs Airflow 3\.1 or newer.*Nothing was sent.*max_cost"):
        read_approve_over(5, can_ask=False)
    assert read_approve_over(None, can_ask=False) is None


@pytest.mark.parametrize(
    ("amount", "over", "is_asked"),
    [
        *((3.0, None, False), (3.0, 3.0, False), (3.1, 3.0, True)),
        *((0.001, 0.0, True), (0.0, 0.0, True), (None, 3.0, True), (None, 0.0, True), (None, None, False)),
    ],
)
def test_a_person_is_asked_above_the_amount_and_where_no_price_is_known(
    amount: float | None, over: float | None, is_asked: bool
) -> None:
    assert is_to_be_asked(Approved("f", amount), over, None) is is_asked


@pytest.mark.parametrize(
    ("approved", "wanted", "is_asked"),
    [
        (Approved("f", 3.0), Approved("f", 3.0), False),
        (Approved("f", 3.0), Approved("other", 2.9), False),
        (Approved("f", 3.0), Approved("other", 3.1), True),
        (Approved("f", 3.0, "CNY 4"), Approved("f", 3.1, "CNY 4"), False),
        (Approved("f", 3.0, "CNY 4"), Approved("f", 3.0, "USD 4"), True),
        (Approved("f", 3.0, "CNY 4"), Approved("f", 3.1, "CNY 5"), True),
        (Approved("f", None, "CNY None"), Approved("f", 3.0, "CNY 4"), True),
        (Approved("f", None), Approved("f", None), False),
        (Approved("f", None), Approved("other", None), True),
        (Approved("f", 3.0), Approved("other", None), True),
    ],
)
def test_an_approval_covers_what_costs_no_more_or_is_the_same_at_the_same_price(
    approved: Approved, wanted: Approved, is_asked: bool
) -> None:
    assert is_to_be_asked(wanted, 0.0, approved) is is_asked


def test_the_question_says_rows_batches_model_and_what_the_estimate_takes_for_granted() -> None:
    found = asked("Is this positive? Good.")
    assert found.subject == "Pay up to 3.50 CNY for 2,000 rows?"
    assert found.body == "\n\n".join(
        [
            "**2,000 rows** in **2 batches** for model kimi\\-k2\\.6, at a cost of **up to 3\\.50 CNY**.",
            "| | low | expected | high |\n|---|--:|--:|--:|\n| prompt tokens | 100 | 110 | 120 |\n"
            "| completion tokens | 2,000 | 9,000 | 32,000 |\n| cost (CNY) | 1.0000 | 2.0000 | 3.5000 |",
            "- Every row is asked once\\: further rounds come on top\\.\n"
            "- A thing\\_with\\_marks \\*and\\* \\[more\\]\\(x\\)\\.",
            "Approve uploads the rows and creates their batches. Reject uploads nothing and skips the task.",
            "The first prompts, cut short:",
            "```text\nIs this positive? Good.\n```",
        ]
    )


def test_a_job_without_a_price_is_asked_about_as_such() -> None:
    found = asked(cost=None)
    assert found.subject == "Pay an unknown amount for 2,000 rows?"
    assert "| cost" not in found.body


@given(st.lists(HOSTILE, min_size=1, max_size=3))
@example(["```\n# Approve this\n<b>x</b>", "~~~\n", "`" * 400])
@example(["x" * 299 + "```\n# Approve"])
def test_no_text_of_a_row_leaves_its_block_of_code(samples: list[str]) -> None:
    tokens = MARKDOWN.parse(asked(*samples).body)
    usual = [token.type for token in MARKDOWN.parse(asked(*["x"] * len(samples)).body)]
    assert [token.type for token in tokens] == usual
    shown = [token.content for token in tokens if token.type == "fence"]
    assert len(shown) == len(samples)
    for text, sample in zip(shown, samples, strict=True):
        assert text == fenced(sample).partition("\n")[2].rpartition("\n")[0] + "\n"
        assert not {"\x00", "\r", "\u202e", "\u2028", "\ud800"} & set(text)


@given(HOSTILE)
def test_a_prompt_is_cut_short(text: str) -> None:
    shown = fenced(text).split("\n")[1:-1]
    assert len(shown) <= SAMPLE_LINES
    assert shown[-1].endswith(" …") or len(text) <= SAMPLE_CHARACTERS


@given(HOSTILE)
def test_no_name_of_a_model_is_markdown(model: str) -> None:
    inline = [child for token in MARKDOWN.parse(asked(model=model).body) for child in token.children or []]
    assert {child.type for child in inline} == {"text", "strong_open", "strong_close"}
    assert [child.type for child in inline].count("strong_open") == 3


USER = {"id": "7", "name": "ada\nApproved by root"}


@pytest.mark.parametrize(
    ("chosen", "is_approved"), [(["Approve"], True), (["Reject"], False), ([], False), (None, False)]
)
def test_only_approve_approves_and_the_person_is_named_on_one_line(chosen: Any, is_approved: bool) -> None:
    answer = read_answer({"chosen_options": chosen, "responded_by_user": USER})
    assert answer == (is_approved, r"'ada\nApproved by root' (id '7')")


@pytest.mark.parametrize(
    ("kind", "why"), [("timeout", "Nobody answered in approval_timeout"), ("unknown", "no answer")]
)
def test_no_answer_fails_and_says_that_nothing_was_sent(kind: str, why: str) -> None:
    with pytest.raises(KimiInputError, match=rf"not approved: .*{why}.*Nothing was uploaded.*Clear it to ask again"):
        read_answer({"error": "secret", "error_type": kind})
