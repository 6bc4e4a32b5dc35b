"""Which batches are stalled, and how a warning says so."""

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import as_clock, standing

#: How long after its `expires_at` a batch may go on before that is worth a warning.
OVERDUE_SECONDS = 1800.0

#: How many batches a warning describes.
MAX_NOTES = 3


@dataclass(frozen=True)
class Note:
    """Something that is worth a warning.

    :param subject: Of which no second warning is logged.
    """

    subject: str
    line: str


def stalls_at(batch: Batch, since: float, stall_seconds: float) -> float:
    """When a batch that stands as it does since `since` is stalled, in unix seconds."""
    silent = since + stall_seconds
    return silent if batch.expires_at is None else min(silent, batch.expires_at + OVERDUE_SECONDS)


def stall_note(batch: Batch, since: float, stall_seconds: float, now: float) -> Note:
    """Describe a batch that is stalled."""
    line = f"Batch {standing(batch.id, batch.status, batch.counts)}"
    window = ""
    if batch.expires_at is not None:
        window = f"its window {'ended' if batch.expires_at <= now else 'ends'} at {as_clock(batch.expires_at)}"
    if now < since + stall_seconds:
        return Note(f"{batch.id} is overdue", f"{line}, and {window}.")
    line += f", and has not moved since {as_clock(since)}{f'; {window}' if window else ''}."
    return Note(f"{batch.id} is stalled since {since}", line)


def in_short(notes: Sequence[Note]) -> str:
    """Join the lines of notes; of many the first few."""
    lines = [note.line for note in notes[:MAX_NOTES]]
    if len(notes) > MAX_NOTES:
        lines.append(f"And {len(notes) - MAX_NOTES} more like this.")
    return " ".join(lines)
