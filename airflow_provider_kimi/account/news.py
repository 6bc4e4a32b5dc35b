"""Batches that somebody else created: which of them have ended since they were last looked at."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.waiting.decision import CLOCK_MARGIN_SECONDS


@dataclass(frozen=True)
class Mark:
    """How far the news has been told.

    :param since: Unix seconds; what ended before is no news.
    :param running: Batches that ran when they were last seen.
    :param told: Batches that were told and ended so late that `since` does not leave them out, by their end.
    """

    since: float
    running: frozenset[str] = frozenset()
    told: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        return {"since": self.since, "running": sorted(self.running), "told": dict(self.told)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Mark":
        """Read it back; a development version stored the told ones without their ends."""
        since, told = float(stored["since"]), stored["told"]
        ends = told if isinstance(told, Mapping) else dict.fromkeys(told, since + CLOCK_MARGIN_SECONDS)
        return cls(since, frozenset(stored["running"]), ends)


def carries(batch: Batch, metadata: Mapping[str, str]) -> bool:
    """Whether a batch has all these pairs in its metadata."""
    own = batch.metadata or {}
    return all(own.get(key) == value for key, value in metadata.items())


def news_of(batches: Iterable[Batch], mark: Mark, now: float, gone: Collection[str] = ()) -> tuple[list[Batch], Mark]:
    """Tell which batches have ended since the mark, and the mark that follows.

    :param batches: All that were seen at one look; what was not seen stays as it was.
    :param now: Unix seconds at which the look began.
    :param gone: Batches that the platform does not know any more.
    """
    seen = list(batches)
    ended = [batch for batch in seen if batch.is_terminal]
    news = [batch for batch in ended if batch.id not in mark.told and _is_new(batch, mark)]
    since = max(mark.since, now - CLOCK_MARGIN_SECONDS)
    over = {batch.id for batch in ended} | set(gone)
    running = (mark.running | {batch.id for batch in seen}) - over
    told = {**mark.told, **{batch.id: batch.ended_at or now for batch in news}}
    return news, Mark(since, running, {batch_id: at for batch_id, at in told.items() if at >= since})


def _is_new(batch: Batch, mark: Mark) -> bool:
    return batch.id in mark.running or (batch.ended_at or 0) >= mark.since


def story(batch: Batch) -> dict[str, Any]:
    """Write one batch that has ended as an event tells it."""
    counts = batch.counts
    return {
        "batch_id": batch.id,
        "status": batch.status,
        "total": counts.total,
        "completed": counts.completed,
        "failed": counts.failed,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "metadata": batch.metadata or {},
    }
