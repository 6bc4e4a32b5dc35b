"""What is known of the batches of a wait, and since when each of them stands as it does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.waiting.doubt import Doubt, doubt_after

#: What a poll shows of one batch: the batch, or why it could not be read.
Seen = Batch | KimiError


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one batch.

    :param batch: As it was last read; None if it never was.
    :param since: Unix seconds since when it stands so.
    :param fault: Why the last poll could not read it; None if it could.
    :param doubt: Since when a fault lasts that looks permanent; None if there is none.
    """

    batch: Batch | None
    since: float
    fault: KimiError | None = None
    doubt: Doubt | None = None


def just_read(known: Mapping[str, Known]) -> dict[str, Batch]:
    """The batches that the last poll read."""
    return {batch_id: what.batch for batch_id, what in known.items() if what.batch and not what.fault}


def has_ended(seen: Seen | None) -> bool:
    """Whether a batch was seen to have ended."""
    return isinstance(seen, Batch) and seen.is_terminal


def is_passing(seen: Seen | None) -> bool:
    """Whether a poll met a fault that passes, so that it has shown nothing of the batch."""
    return isinstance(seen, KimiError) and seen.retryable


def known_after(before: Mapping[str, Known], seen: Mapping[str, Seen], now: float) -> dict[str, Known]:
    """Take in what a poll has shown; a batch that could not be read is taken to stand as before."""
    return {**before, **{batch_id: _known(before.get(batch_id), what, now) for batch_id, what in seen.items()}}


def _known(before: Known | None, what: Seen, now: float) -> Known:
    if isinstance(what, KimiError):
        last = before or Known(None, now)
        return replace(last, fault=what, doubt=doubt_after(last.doubt, what, last.batch, now))
    if before is None or before.batch is None:
        return Known(what, _stands_since(what, now))
    has_moved = (before.batch.status, before.batch.counts) != (what.status, what.counts)
    return Known(what, now if has_moved else before.since)


def _stands_since(batch: Batch, now: float) -> float:
    """Since when a batch that was never seen before stands as it does, as far as its own times show."""
    counts = batch.counts
    own = {
        "validating": batch.created_at,
        "in_progress": None if counts.completed or counts.failed else batch.in_progress_at,
        "finalizing": batch.finalizing_at,
        "cancelling": batch.cancelling_at,
    }
    since = own.get(batch.status)
    return now if since is None else min(now, since)
