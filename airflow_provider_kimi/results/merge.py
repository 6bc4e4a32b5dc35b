"""What becomes of a row that an earlier result has, and of its numbers, once it was asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import REFUSALS, ROW_STATUSES, SAVED_SOURCES, InputChange, Row
from airflow_provider_kimi.results.cost import sum_of_costs
from airflow_provider_kimi.results.tally import Tally

#: What became of a row that was asked again: its new answer is taken; it is not better than what the row had; the row
#: had a usable answer; the request is not known to ask the same as the dead letter; the earlier result has no such row.
Fate = Literal["taken", "not_better", "had_answer", "asks_other", "added"]

#: What is to be said of rows whose answers stand on no row of the earlier result.
_SET_ASIDE: Mapping[Fate, str] = {
    "had_answer": "have a usable answer there",
    "asks_other": "ask something else than their dead letter, as far as is known",
    "added": "are not there",
}

#: Codes of rows that were not sent to the platform.
NEVER_SENT = ("not_sent", "not_asked")


def fate_of(old: Row, new: Row, change: InputChange | None) -> Fate:
    """Decide which of two outcomes of one row counts. Of two that are worth the same, the new one does.

    :param change: How the new request differs from the dead letter; None if both ask the same.
    """
    if old.status == "succeeded":
        return "had_answer"
    if change is not None:
        return "asks_other"
    is_better = _worth(new) >= _worth(old) and new.error_code not in NEVER_SENT
    return "taken" if is_better else "not_better"


def _worth(row: Row) -> int:
    """What there is of a row: a usable answer, a whole one, one with text, any, or none."""
    if row.status == "succeeded":
        return 4
    if row.error_code in REFUSALS:
        return 3
    if row.content and not row.content.isspace():
        return 2
    return row.status in ("invalid", "truncated", "filtered") and row.error_code not in NEVER_SENT


@dataclass
class Merged:
    """The numbers of a merge.

    :param tally: All rows of the new result.
    :param old: All rows of the earlier one.
    :param replaced: Rows of the earlier one that have a new outcome.
    :param taken: Their new outcomes, and the rows that the earlier result does not have.
    :param fates: What became of the rows that were asked again.
    """

    tally: Tally
    old: Tally = field(default_factory=Tally)
    replaced: Tally = field(default_factory=Tally)
    taken: Tally = field(default_factory=Tally)
    fates: Counter[Fate] = field(default_factory=Counter)

    @property
    def set_aside(self) -> str:
        """Say how many rows have other answers than to dead letters; empty if there is none."""
        return ", ".join(f"{rows:,} {_SET_ASIDE[fate]}" for fate, rows in self.fates.items() if fate in _SET_ASIDE)

    @property
    def sent_before(self) -> int:
        """How many rows of the earlier result were sent."""
        unsent = sum(times for (code, _), times in self.old.reasons.items() if code in NEVER_SENT)
        return self.old.total - unsent - self.old.saved.total()


def merged_manifest(
    earlier: Manifest, new: Manifest, merged: Merged, rounds: Sequence[Mapping[str, int]], guarded: int | None
) -> Manifest:
    """Describe the merged result before its files have places: what is spent adds up, rows are those of the merge.

    :param new: Of the new batches alone.
    :param rounds: Of the new batches.
    :param guarded: How many more cells of a CSV file have an apostrophe before them; None without that guard.
    """
    tally = merged.tally
    first = {"requests": merged.sent_before, "succeeded": merged.old.succeeded.total()}
    return replace(
        new,
        batch_ids=[*earlier.batch_ids, *new.batch_ids],
        status=tally.status,
        model=earlier.model or new.model,
        counts={"total": tally.total, **{status: tally.counts[status] for status in ROW_STATUSES}},
        usage=_sums(earlier.usage, new.usage),
        cost=sum_of_costs(earlier.cost, new.cost),
        rounds=earlier.rounds + len(rounds),
        by_round=[*map(dict, earlier.by_round or [first]), *map(dict, rounds)],
        input_fingerprint=earlier.input_fingerprint,
        prompt_fingerprint=earlier.prompt_fingerprint,
        created_at=earlier.created_at or new.created_at,
        completed_at=new.completed_at or earlier.completed_at,
        answers=_answers(earlier, merged),
        failures=tally.failures.named or UNSET,
        input_changes=earlier.input_changes,
        guarded_cells=UNSET if guarded is None else (earlier.guarded_cells or 0) + guarded,
        merged=dict(merged.fates),
        realtime=earlier.realtime,
        saved=_saved(earlier, tally),
    )


def _saved(earlier: Manifest, tally: Tally) -> dict[str, int] | UnsetType:
    """How many rows have still an outcome that was not paid; what the earlier task has stored stays so."""
    if not earlier.saved:
        return earlier.saved
    return {**earlier.saved, **{kind: tally.saved[kind] for kind in SAVED_SOURCES}}


def _sums(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _answers(earlier: Manifest, merged: Merged) -> dict[str, int] | UnsetType:
    """Answers with text; not known where an earlier version did not count them."""
    if earlier.answers is UNSET:
        return UNSET
    gone, come = merged.replaced.answers, merged.taken.answers
    return {kind: earlier.answers.get(kind, 0) - gone[kind] + come[kind] for kind in come}
