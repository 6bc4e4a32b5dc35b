"""How rows without a usable answer are asked again: by a batch, by chat calls, or not at all."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.jobs.deadline import Deadline
from airflow_provider_kimi.records.manifest import Manifest

#: What becomes of rows that are worth another round.
Way = Literal["batch", "realtime", "leave"]


@dataclass(frozen=True)
class RestTerms:
    """What a task allows for its last rows.

    :param min_batch_rows: Fewer rows are not worth a batch; None for any number.
    :param allow_realtime: Whether such rows are asked by chat calls.
    :param deadline: When the task is to finish; None for no such time.
    """

    min_batch_rows: int | None = None
    allow_realtime: bool = False
    deadline: Deadline | None = None

    @property
    def resume(self) -> dict[str, Any]:
        """What a task that waits in the triggerer is to be given back of it."""
        return {} if self.deadline is None else {"deadline": asdict(self.deadline)}

    def is_overdue(self, now: float) -> bool:
        """Whether the time for batches is over."""
        return self.deadline is not None and self.deadline.is_over(now)


class Choice(NamedTuple):
    """What becomes of rows, and why, for the log."""

    way: Way
    text: str = ""


def choose(terms: RestTerms, rows: int, longest: float, now: float) -> Choice:
    """Choose how rows are asked again.

    :param longest: How long the longest batch so far has taken, in seconds: another one is expected to take as long.
    :param now: In unix seconds.
    """
    why, remedy = _why_no_batch(terms, rows, longest, now)
    if not why:
        return Choice("batch")
    which = f"{rows:,} row{'s' * (rows != 1)} without a usable answer"
    if terms.allow_realtime:
        return Choice("realtime", f"Chat calls ask {which} now, at the standard price: {why}.")
    return Choice(
        "leave",
        f"No further round for {which}: {why}. What has no answer ends so. To ask after all, {remedy}, or "
        "allow_realtime=True, then clear this task.",
    )


def _why_no_batch(terms: RestTerms, rows: int, longest: float, now: float) -> tuple[str, str]:
    """Why no batch is made of rows, and what would change that; empty if one is."""
    deadline, least = terms.deadline, terms.min_batch_rows
    if deadline is not None and deadline.is_over(now):
        return f"it is too late for a batch, because of {deadline}", "set a later finish_by"
    if deadline is not None and not deadline.lets_through(now, longest):
        late = f"a batch took {longest / 60:,.0f} minutes, so another one would not end in time for {deadline}"
        return late, "set a later finish_by"
    if least is not None and rows < least:
        return f"fewer than min_batch_rows={least:,} are not worth a batch", "set a lower min_batch_rows"
    return "", ""


def longest_batch(batches: Iterable[Batch]) -> float:
    """How long the longest of batches has taken, in seconds; 0 if that is not known."""
    taken = (batch.ended_at - batch.created_at for batch in batches if batch.ended_at and batch.created_at)
    return float(max(taken, default=0))


def is_made_good(manifest: Manifest, batches: Iterable[Batch]) -> bool:
    """Whether chat calls have dealt with every row that batches have left undone."""
    undone = sum(manifest.counts.get(status, 0) for status in ("cancelled", "expired", "missing"))
    has_failed = any(batch.status == "failed" for batch in batches)
    return bool(manifest.realtime) and not undone and not has_failed
