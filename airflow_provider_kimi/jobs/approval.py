"""Whether a person has to approve a job before it is uploaded, and what that person reads and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from unicodedata import category

import msgspec

from airflow_provider_kimi.api.catalogue import PriceList
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.jobs.estimate import Estimate, Range

OPTIONS = APPROVE, REJECT = "Approve", "Reject"

#: Prompts that are shown, at most, and how much of each.
SAMPLES = 3
SAMPLE_CHARACTERS = 300
SAMPLE_LINES = 6

#: Kinds of characters that a database may refuse, or that change how their neighbours look.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Approved:
    """What a person is asked to approve, as the parked task keeps it.

    :param fingerprint: Of the input.
    :param amount: The high end of its estimate; None where its price is not known.
    :param price: That of its model, with the currency.
    """

    fingerprint: str
    amount: float | None
    price: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Approved:
        """Read what a parked task has kept. What a later version adds is ignored."""
        return msgspec.convert(stored, cls)

    def covers(self, wanted: Approved) -> bool:
        """Whether that is approved too: at the same price, it is the same job, or costs no more."""
        if self.price != wanted.price:
            return False
        is_cheaper = None not in (self.amount, wanted.amount) and (wanted.amount or 0) <= (self.amount or 0)
        return is_cheaper or self.fingerprint == wanted.fingerprint


class Question(NamedTuple):
    """What a person is asked: plain text, and text in Markdown."""

    subject: str
    body: str
    asked: Approved


def is_to_be_asked(wanted: Approved, over: float | None, approved: Approved | None) -> bool:
    """Whether a person has to approve a job first.

    :param over: Up to this amount, none has to; 0 for always, None for never.
    :param approved: What was approved before.
    """
    if over is None or (over and wanted.amount is not None and wanted.amount <= over):
        return False
    return approved is None or not approved.covers(wanted)


def question(asked: Approved, estimate: Estimate, shards: int, prices: PriceList, samples: Sequence[str]) -> Question:
    """Write the question. The same job is asked about in the same words.

    :param samples: The first prompts.
    """
    cost = f"up to {prices.amount(estimate.cost.high)}" if estimate.cost else "an unknown amount"
    rows, batches = _number(estimate.rows, "row", "s"), _number(shards, "batch", "es")
    shown = {"prompt tokens": estimate.prompt, "completion tokens": estimate.completion}
    table = [_row(name, amounts, ",.0f") for name, amounts in shown.items()]
    if estimate.cost:
        table.append(_row(f"cost ({_plain(prices.currency)})", estimate.cost, ",.4f"))
    body = [
        f"**{rows}** in **{batches}** for model {_plain(estimate.model[:100])}, at a cost of **{_plain(cost)}**.",
        "\n".join(["| | low | expected | high |", "|---|--:|--:|--:|", *table]),
        "\n".join(f"- {_plain(assumption)}" for assumption in estimate.assumptions),
        f"{APPROVE} uploads the rows and creates their batches. {REJECT} uploads nothing and skips the task.",
        "The first prompts, cut short:",
        *map(fenced, samples),
    ]
    return Question(f"Pay {cost} for {rows}?", "\n\n".join(body), asked)


def _number(number: int, one: str, ending: str) -> str:
    return f"{number:,} {one}{ending * (number != 1)}"


def _row(name: str, amounts: Range, form: str) -> str:
    return f"| {name} | " + " | ".join(f"{amount:{form}}" for amount in amounts) + " |"


def _plain(text: str) -> str:
    """Write text so that nothing in it is Markdown."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _seen(text).replace("\n", " "))


def fenced(text: str) -> str:
    """Write the begin of a text as a block of code. Nothing in the text ends the block: its fence is longer."""
    lines = _seen(text[:SAMPLE_CHARACTERS]).split("\n")
    kept = "\n".join(lines[:SAMPLE_LINES])
    cut = " …" if len(text) > SAMPLE_CHARACTERS or len(lines) > SAMPLE_LINES else ""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", kept)), default=0))
    return f"{fence}text\n{kept}{cut}\n{fence}"


def _seen(text: str) -> str:
    """Write characters that are not seen as what they are; line breaks and tabs stay."""
    unified = text.replace("\r\n", "\n")
    return "".join(c if c in "\n\t" or category(c) not in _UNSEEN else f"\\u{ord(c):04x}" for c in unified)


def not_shown() -> KimiInputError:
    """Refuse to wait for an answer to another question."""
    return KimiInputError(
        "Airflow still shows an earlier question of this task, about another input or estimate (apache/airflow#73235), "
        "so nobody can approve this one. Nothing was uploaded or submitted by this attempt. Start another run; or set "
        "a higher approve_over, or none, and clear this task."
    )


class Answer(NamedTuple):
    """What a person has answered.

    :param by: Who, for the log.
    """

    is_approved: bool
    by: str


def read_answer(event: Mapping[str, Any]) -> Answer:
    """Read what Airflow resumes the task with.

    :raises KimiInputError: There is no answer.
    """
    if "error" in event:
        why = "Nobody answered in approval_timeout" if event.get("error_type") == "timeout" else "Airflow has no answer"
        raise KimiInputError(
            f"This task was not approved: {why}. Nothing was uploaded or submitted by this attempt. Clear it to ask "
            "again."
        )
    user = event.get("responded_by_user") or {}
    return Answer(event.get("chosen_options") == [APPROVE], f"{user.get('name')!r} (id {user.get('id')!r})")


def answered_late(event: Mapping[str, Any]) -> str:
    """Say that a task that waits for its batches was resumed by an answer to a question of an earlier try.

    Airflow 3.3 shows such a question while the task is deferred, and resumes it with any answer. Empty for an event of
    batches.
    """
    if "chosen_options" not in event:
        return ""
    return (
        f"{read_answer(event).by} answered a question of an earlier try, which Airflow still showed. This try asked "
        "nobody, so the answer changes nothing, and the task waits on. To cancel what runs, mark the task failed."
    )
