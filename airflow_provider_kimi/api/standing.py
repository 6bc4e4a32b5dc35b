"""How batches stand, in words: what every message about batches that run, or are paid, has in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_kimi.api.models import RequestCounts

#: What is true of batches that go on, and of rows that were answered.
RUNS_ON = "What runs goes on and is billed"
COMPLETED_IS_BILLED = "Completed rows are billed"


def standing(batch_id: str, status: str, counts: RequestCounts) -> str:
    """Say how one batch stands, without a full stop."""
    rows = rows_in_words(counts)
    return f"{batch_id} is {status}{f', {rows}' if rows else ''}"


def rows_in_words(counts: RequestCounts) -> str:
    """Say how many rows are completed and failed; empty while the platform does not say how many there are."""
    if not counts.total:
        return ""
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{counts.completed:,} of {counts.total:,} rows completed{failed}"


def as_clock(seconds: float) -> str:
    """Write unix seconds as a reader wants them; a platform's odd time as it came."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
