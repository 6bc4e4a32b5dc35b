"""Whether batches still move, and since when they do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.waiting.progress import progress_line

#: How long a batch may stand still before that is worth a warning: a queue was seen to take hours.
DEFAULT_STALL_SECONDS = 6 * 3600.0

#: How long after its `expires_at` a batch may go on before that is worth one.
OVERDUE_SECONDS = 1800.0

#: How many batches a warning describes.
MAX_NOTES = 3

#: What becomes of batches that stand still: they are waited for, or cancelled, or the wait ends.
OnStall = Literal["keep", "cancel", "fail"]


@dataclass(frozen=True)
class Note:
    """Something that is worth a warning.

    :param subject: Of what no second one is told.
    """

    subject: str
    line: str


@dataclass(frozen=True)
class Move:
    """How a batch stood last, and since when (unix seconds)."""

    standing: tuple[str, int, int, int]
    since: float


def moves_after(before: Mapping[str, Move], seen: Mapping[str, object], now: float) -> dict[str, Move]:
    """Note which batches have moved since the last look; one that could not be read is taken not to have."""
    moves = dict(before)
    for batch_id, batch in seen.items():
        if not isinstance(batch, Batch):
            continue
        counts = batch.counts
        standing = (batch.status, counts.total, counts.completed, counts.failed)
        known = before.get(batch_id)
        if known is None:
            moves[batch_id] = Move(standing, _begun(batch, now))
        elif known.standing != standing:
            moves[batch_id] = Move(standing, now)
    return moves


def _begun(batch: Batch, now: float) -> float:
    """Since when a batch that was never seen before stands as it does, as far as its own times tell."""
    counts = batch.counts
    own = {
        "validating": batch.created_at,
        "in_progress": None if counts.completed or counts.failed else batch.in_progress_at,
        "finalizing": batch.finalizing_at,
        "cancelling": batch.cancelling_at,
    }
    since = own.get(batch.status)
    return now if since is None else min(now, since)


def stalls_at(batch: Batch, move: Move, stall_seconds: float) -> float:
    """When a batch that does not move any more counts as stalled, in unix seconds."""
    silent = move.since + stall_seconds
    return silent if batch.expires_at is None else min(silent, batch.expires_at + OVERDUE_SECONDS)


def stall_note(batch: Batch, move: Move, stall_seconds: float, now: float) -> Note:
    """Say in one line how a batch stands that counts as stalled."""
    told = progress_line(batch)
    window = ""
    if batch.expires_at is not None:
        window = f"its window {'ended' if batch.expires_at <= now else 'ends'} at {as_clock(batch.expires_at)}"
    if now < move.since + stall_seconds:
        return Note(f"{batch.id} is overdue", f"{told}, and {window}.")
    told += f", and has not moved since {as_clock(move.since)}{f'; {window}' if window else ''}."
    return Note(f"{batch.id} stands still since {move.since}", told)


def in_short(notes: Sequence[Note]) -> str:
    """Join the lines of notes; of many the first few."""
    told = [note.line for note in notes[:MAX_NOTES]]
    if len(notes) > MAX_NOTES:
        told.append(f"And {len(notes) - MAX_NOTES} more like this.")
    return " ".join(told)


def as_clock(seconds: float) -> str:
    """Write unix seconds as a reader wants them; a platform's odd time as it came."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
