"""How far a wait has come: in one line for its log, and as numbers for its XCom."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.events import BatchEnd

#: No window is longer than 7 days; what seems to take much longer is not worth a forecast.
LONGEST_FORECAST_SECONDS = 30 * 86_400.0


@dataclass(frozen=True)
class Progress:
    """All batches of a wait together.

    :param statuses: How many batches have each status.
    :param rows_per_minute: Rows done a minute, since each batch began; None while nothing is done.
    :param expected_end: Unix seconds by when the last one should end at that rate; None where that is not known.
    """

    statuses: Mapping[str, int]
    total: int
    completed: int
    failed: int
    rows_per_minute: float | None = None
    expected_end: float | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What has to change for a new line to be worth writing."""
        return (*sorted(self.statuses.items()), self.total, self.completed, self.failed)

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON, with the expected end in ISO 8601."""
        return {
            "statuses": dict(self.statuses),
            "total": self.total,
            "completed": self.completed,
            "failed": self.failed,
            "rows_per_minute": None if self.rows_per_minute is None else round(self.rows_per_minute, 1),
            "expected_end": None if self.expected_end is None else _time(self.expected_end).isoformat(),
        }


def progress_of(batches: Collection[Batch], now: float) -> Progress:
    """Add batches up.

    :param now: Unix seconds.
    """
    counts = [batch.counts for batch in batches]
    running = [batch for batch in batches if batch.status == "in_progress"]
    rates = [_rows_per_second(batch, now) for batch in running]
    left = [_rows_left(batch) / rate for batch, rate in zip(running, rates, strict=True) if rate]
    ends = [now + seconds for seconds in left if seconds < LONGEST_FORECAST_SECONDS]
    known = len(ends) == len(batches) - sum(batch.is_terminal for batch in batches)
    return Progress(
        statuses=Counter(batch.status for batch in batches),
        total=sum(count.total for count in counts),
        completed=sum(count.completed for count in counts),
        failed=sum(count.failed for count in counts),
        rows_per_minute=sum(rates) * 60 or None,
        expected_end=max(ends) if ends and known else None,
    )


def progress_of_ends(ends: Collection[BatchEnd]) -> Progress:
    """Add up how batches stood when a wait was over."""
    return Progress(
        statuses=Counter(end.status for end in ends),
        total=sum(end.total for end in ends),
        completed=sum(end.completed for end in ends),
        failed=sum(end.failed for end in ends),
    )


def progress_line(batch: Batch) -> str:
    """Say in one line where a batch stands."""
    return f"Batch {batch.id}: {batch.status}{_rows(batch.counts.total, batch.counts.completed, batch.counts.failed)}"


def summary_line(batches: Mapping[str, Batch], progress: Progress) -> str:
    """Say in one line where a wait stands."""
    if len(batches) == 1:
        (batch,) = batches.values()
        told = progress_line(batch)
    else:
        told = (
            f"{len(batches)} batches: {', '.join(f'{count} {status}' for status, count in progress.statuses.items())}"
        )
        told += _rows(progress.total, progress.completed, progress.failed)
    if progress.rows_per_minute is not None:
        told += f", {progress.rows_per_minute:,.3g} rows a minute"
    if progress.expected_end is not None:
        told += f", expected end {_time(progress.expected_end):%Y-%m-%d %H:%M} UTC"
    return told


def _rows(total: int, completed: int, failed: int) -> str:
    rows = f", {completed + failed:,} of {total:,} rows done" if total else ""
    return rows + (f" ({failed:,} failed)" if failed else "")


def _rows_per_second(batch: Batch, now: float) -> float:
    begun = batch.in_progress_at or batch.created_at
    done = batch.counts.completed + batch.counts.failed
    return done / (now - begun) if begun is not None and now > begun else 0.0


def _rows_left(batch: Batch) -> int:
    counts = batch.counts
    return max(0, counts.total - counts.completed - counts.failed)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
