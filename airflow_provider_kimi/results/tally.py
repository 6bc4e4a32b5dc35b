"""The tally of a result: rows, tokens and reasons."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from airflow_provider_kimi.api.redaction import redact, without_prompt
from airflow_provider_kimi.files.line_ids import UNREADABLE, body_of, decoded
from airflow_provider_kimi.records.manifest import Manifest, ManifestStatus
from airflow_provider_kimi.records.rows import REFUSALS, ROW_STATUSES, SAVED_SOURCES, Row, absent_status
from airflow_provider_kimi.results.cost import Usage
from airflow_provider_kimi.results.failures import Failures
from airflow_provider_kimi.results.quality import Quality

#: How many reasons for rows without an answer are counted apart, and how many of their characters are compared.
MAX_REASONS = 1000
MAX_REASON_CHARS = 200

#: A code, and a message without its numbers, such as that of a line.
_Reason = tuple[str, str]
_NUMBER = re.compile(r"\d+")

#: Codes of rows that did not succeed but were answered, and so are billed.
_BILLED_ERRORS = ("length", "empty_answer", "finish_reason", *REFUSALS)


@dataclass
class RealtimeTally:
    """Counts what ordinary chat calls have brought.

    :param asked: How many rows were asked by them, by the id of the first batch of their shard.
    :param uncounted: Answers without token counts.
    """

    asked: dict[str, int] = field(default_factory=dict)
    succeeded: int = 0
    usage: dict[str | None, Usage] = field(default_factory=dict)
    uncounted: int = 0

    @property
    def rows(self) -> int:
        """How many rows were asked."""
        return sum(self.asked.values())


@dataclass
class Tally:
    """Counts rows one by one.

    :param succeeded: Rows with a usable answer, by the round that it is of.
    :param leaked: Answers that held the model's thoughts.
    :param refused: Answers with text that no schema or check took: those that are `whole`, and those that were `cut`.
    :param usage: Tokens of batches by model; those of chat calls are in `realtime`.
    :param uncounted: Answers of batches without token counts, whose cost is not known.
    :param input_changes: Rows of each way in which the input differs from what was asked; None if it is not known.
    :param saved: Rows whose requests were not sent, by the source of their outcome. They have no tokens, and no round.
    :param failures: Rows without a usable answer by reason, as the manifest names them.
    :param unclaimed: Lines of result files that belong to no row: unreadable, or with an id that was not asked for.
    :param quality: Labels, and how many agree with gold; None if nobody counts them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[_Reason] = field(default_factory=Counter)
    first_messages: dict[_Reason, str] = field(default_factory=dict)
    usage: dict[str | None, Usage] = field(default_factory=dict)
    input_changes: Counter[str] | None = None
    refused: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[int | None] = field(default_factory=Counter)
    leaked: int = 0
    uncounted: int = 0
    unclaimed: int = 0
    saved: Counter[str] = field(default_factory=Counter)
    failures: Failures = field(default_factory=Failures)
    realtime: RealtimeTally = field(default_factory=RealtimeTally)
    quality: Quality | None = None

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Self:
        """Take the counts of an earlier result; the reasons why rows failed are not among them."""
        return cls(Counter({status: manifest.counts.get(status, 0) for status in ROW_STATUSES}))

    def add(
        self,
        row: Row,
        model: str | None = None,
        round: int | None = None,
        *,
        is_realtime: bool = False,
        letter: bytes | None = None,
    ) -> None:
        """Count one row and its tokens; a row that was cut or refused after an answer is billed too.

        :param model: The model that was asked, which decides the price; None for the one that answered.
        :param round: The round that the answer is of; None for a row that was not asked.
        :param is_realtime: Whether it was answered by a chat call.
        :param letter: Its dead letter, whose prompt the summary does not repeat; None if there is none.
        """
        is_saved = row.source in SAVED_SOURCES
        self.counts[row.status] += 1
        if is_saved:
            self.saved[str(row.source)] += 1
        if row.status == "succeeded":
            self.succeeded[round] += not is_saved
            self.realtime.succeeded += is_realtime
        else:
            self.failures.add(row)
            if kind := _text_of(row):
                self.refused[kind] += 1
        self.leaked += row.leaked
        if self.quality is not None:
            self.quality.add(row)
        if row.input_change is not None and self.input_changes is not None:
            self.input_changes[row.input_change] += 1
        if row.error_code:
            self._add_reason(row.error_code, row.error_message or "", letter if row.status != "invalid" else None)
        part = self.realtime if is_realtime else self
        part.uncounted += not is_saved and is_billed(row) and not is_counted(row)
        part.usage.setdefault(model or row.model, Usage()).add(row)

    def add_passed_over(self, tokens: Usage, uncounted: int, model: str | None, *, is_realtime: bool = False) -> None:
        """Count the tokens of answers that others have taken the place of."""
        part = self.realtime if is_realtime else self
        part.uncounted += uncounted
        if tokens.total_tokens:
            part.usage.setdefault(model or self.model, Usage()).add(tokens)

    def _add_reason(self, code: str, message: str, letter: bytes | None) -> None:
        reason = (code[:MAX_REASON_CHARS], _NUMBER.sub("#", message[: 2 * MAX_REASON_CHARS])[:MAX_REASON_CHARS])
        if reason not in self.first_messages:
            if len(self.first_messages) >= MAX_REASONS:
                reason = (reason[0], "")  # its code still counts
            if len(self.first_messages) >= 2 * MAX_REASONS and reason not in self.first_messages:
                reason = ("other", "")
            if reason not in self.first_messages:
                self.first_messages[reason] = without_prompt(redact(message), _messages_of(letter))
        self.reasons[reason] += 1

    def add_unnamed(self, rows: int, batch_status: str) -> None:
        """Count rows whose ids are not known, because the input file of their batch is gone."""
        if rows > 0:
            self.counts[absent_status(batch_status)] += rows
            self.failures.add_unnamed(rows, batch_status)

    @property
    def model(self) -> str | None:
        """The first model; None if none is known."""
        return next(filter(None, (*self.usage, *self.realtime.usage)), None)

    @property
    def answers(self) -> Mapping[str, int]:
        """The answers with text that are `whole`, and those that are `cut` off."""
        return {"whole": self.counts["succeeded"] + self.refused["whole"], "cut": self.refused["cut"]}

    @property
    def total_usage(self) -> Usage:
        """The tokens of all models, and of chat calls too."""
        return total((*self.usage.values(), *self.realtime.usage.values()))

    @property
    def total(self) -> int:
        """The number of rows."""
        return sum(self.counts.values())

    @property
    def asked(self) -> int:
        """The number of rows but for those that were added to the input since."""
        return self.total - self._added

    @property
    def _added(self) -> int:
        return self.input_changes["added"] if self.input_changes else 0

    @property
    def unusable(self) -> int:
        """Rows without a usable answer, but for those that were added to the input since."""
        return self.asked - self.counts["succeeded"]

    def failed(self, status: str) -> int:
        """Rows of a status, but for those that were added to the input since."""
        return self.counts[status] - (self._added if status == "missing" else 0)

    @property
    def status(self) -> ManifestStatus:
        """The status of the result."""
        if not self.counts["succeeded"]:
            return "failed"
        return "partial" if self.counts["succeeded"] < self.total else "completed"

    def summary(self) -> str:
        """Say in one line the counts, the most common error, and its most common reason."""
        counts = ", ".join(f"{self.counts[status]:,} {status}" for status in ROW_STATUSES if self.counts[status])
        return f"{self.total:,} row{'' if self.total == 1 else 's'}: {counts}{self._most_common_error()}"

    def _most_common_error(self) -> str:
        errors: Counter[str] = Counter()
        for (code, _), times in self.reasons.items():
            errors[code] += times
        if not errors:
            return ""
        code, times = errors.most_common(1)[0]
        reason = max((reason for reason in self.reasons if reason[0] == code), key=self.reasons.__getitem__)
        alike = "" if self.reasons[reason] == times else f", {self.reasons[reason]:,} of them"
        often = "once" if times == 1 else f"{times:,} times"
        return f"; most common error, {often}: {code}{alike}: {self.first_messages[reason]}"


def total(parts: Iterable[Usage]) -> Usage:
    """Add tokens."""
    added = Usage()
    for tokens in parts:
        added.add(tokens)
    return added


def _messages_of(letter: bytes | None) -> object:
    """The messages that a dead letter asks; None if there are none."""
    try:
        return body_of(body_of(decoded(letter or b"{}")).get("body")).get("messages")
    except UNREADABLE:
        return None


def _text_of(row: Row) -> str | None:
    """What there is of the text of an answer that is not used, before thoughts were removed; None if it has none."""
    if row.error_code in REFUSALS or (row.leaked and row.error_code == "empty_answer"):
        return "whole"
    return "cut" if row.leaked or (row.content and not row.content.isspace()) else None


def is_billed(row: Row) -> bool:
    """Whether the platform bills a row: it was answered, whatever the answer is worth."""
    return row.status == "succeeded" or row.error_code in _BILLED_ERRORS


def is_counted(row: Row) -> bool:
    """Whether the tokens of a row are known."""
    return row.prompt_tokens is not None and row.completion_tokens is not None
