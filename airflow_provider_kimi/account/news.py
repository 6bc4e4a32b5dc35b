"""Batches that somebody else created: which of them have ended since the last poll."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.mark import CLOCK_MARGIN_SECONDS, Mark
from airflow_provider_kimi.records.outside import storable


def carries(batch: Batch, metadata: Mapping[str, str]) -> bool:
    """Whether a batch has all these pairs in its metadata."""
    own = batch.metadata or {}
    return all(own.get(key) == value for key, value in metadata.items())


def news_of(batches: Iterable[Batch], mark: Mark, now: float, gone: Collection[str] = ()) -> tuple[list[Batch], Mark]:
    """Return the batches that have ended since the mark, and the mark that follows.

    :param batches: All that one poll has shown; what it did not show stays as it was.
    :param now: Unix seconds at which the poll began.
    :param gone: Batches that the platform no longer knows.
    """
    seen = list(batches)
    ended = [batch for batch in seen if batch.is_terminal]
    news = [batch for batch in ended if batch.id not in mark.reported and _is_new(batch, mark)]
    since = max(mark.since, now - CLOCK_MARGIN_SECONDS)
    over = {batch.id for batch in ended} | set(gone)
    running = (mark.running | {batch.id for batch in seen}) - over
    reported = {**mark.reported, **{batch.id: batch.ended_at or now for batch in news}}
    return news, Mark(since, running, {batch_id: at for batch_id, at in reported.items() if at >= since})


def _is_new(batch: Batch, mark: Mark) -> bool:
    return batch.id in mark.running or (batch.ended_at or 0) >= mark.since


def report_of(batch: Batch) -> dict[str, Any]:
    """Write one batch that has ended as an event reports it."""
    counts = batch.counts
    report = {
        "batch_id": batch.id,
        "status": batch.status,
        "total": counts.total,
        "completed": counts.completed,
        "failed": counts.failed,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "metadata": batch.metadata or {},
    }
    stored: dict[str, Any] = storable(report)
    return stored
