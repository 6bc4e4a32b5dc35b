"""How far a wait has come: in one line for its log, and as the record for its XCom."""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime

from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.api.standing import rows_in_words
from airflow_provider_kimi.records.events import BatchEnd
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.waiting.pace import rows_left, rows_per_second

#: No window is longer than 7 days; what seems to take much longer is not worth a forecast.
LONGEST_FORECAST_SECONDS = 30 * 86_400.0


def progress_of(batches: Collection[Batch], now: float, to_come: int = 0) -> Progress:
    """Add batches up, with a forecast. The log, the XCom and the page show these very numbers.

    :param now: When they were read, in unix seconds.
    :param to_come: How many batches are still to be created.
    """
    running = [batch for batch in batches if batch.status == "in_progress"]
    rates = [rows_per_second(batch, now) for batch in running]
    left = [rows_left(batch) / rate for batch, rate in zip(running, rates, strict=True) if rate]
    ends = [now + seconds for seconds in left if seconds < LONGEST_FORECAST_SECONDS]
    is_known = not to_come and len(ends) == len(batches) - sum(batch.is_terminal for batch in batches)
    expected_end = datetime.fromtimestamp(max(ends), UTC) if ends and is_known else None
    rate = float(f"{sum(rates) * 60:.3g}") or None
    return replace(progress_at_end(batches, now, to_come), rows_per_minute=rate, expected_end=expected_end)


def progress_at_end(batches: Collection[Batch | BatchEnd], polled_at: float | None, to_come: int = 0) -> Progress:
    """Add batches up as they stood when a wait was over, without a forecast.

    :param polled_at: When they were read, in unix seconds; None if that is not known, or nothing was.
    """
    counts = [batch.counts for batch in batches]
    return Progress(
        dict(Counter(batch.status for batch in batches)),
        total=sum(count.total for count in counts),
        completed=sum(count.completed for count in counts),
        failed=sum(count.failed for count in counts),
        to_come=to_come,
        polled_at=None if polled_at is None else datetime.fromtimestamp(round(polled_at), UTC),
    )


def progress_line(batches: Collection[Batch], progress: Progress, now: float) -> str:
    """Say in one line where a wait stands: the rows and the end first, then the batches."""
    numbers = []
    if rows := rows_in_words(RequestCounts(progress.total, progress.completed, progress.failed)):
        numbers.append(rows)
    if (end := progress.expected_end) is not None:
        is_today = end.date() == datetime.fromtimestamp(now, UTC).date()
        numbers.append(f"ends {end:%H:%M} UTC" if is_today else f"ends {end:%Y-%m-%d %H:%M} UTC")
    if (rate := progress.rows_per_minute) is not None:
        numbers.append(f"{rate:,.9g} rows a minute")
    statuses = ", ".join(f"{count} {status}" for status, count in progress.statuses.items())
    if to_come := progress.to_come:
        which = f"{len(batches)} of {len(batches) + to_come} batches, {statuses}, {to_come} to come"
    elif len(batches) == 1:
        (batch,) = batches
        which = f"batch {batch.id} is {batch.status}"
    else:
        which = f"{len(batches)} batches, {statuses}"
    return f"{', '.join(numbers)}: {which}" if numbers else f"{which[0].upper()}{which[1:]}"
