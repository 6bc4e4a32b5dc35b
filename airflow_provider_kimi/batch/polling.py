"""What next? The one decision of every wait, sync or async: it takes what was seen and a time, and touches nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_provider_kimi.api.models import ACTIVE_STATUSES, CANCELLABLE_STATUSES, Batch
from airflow_provider_kimi.batch.events import BatchEvent
from airflow_provider_kimi.exceptions import KimiApiError, KimiError

#: Shortest time between deferring and the first check. An event that fires at once can overtake the end of the
#: process that deferred, and the executor then takes the resumed task for a failed one.
FIRST_CHECK_SECONDS = 5.0
#: Longest pause that the platform can ask for; a wait must not sleep through the end of its batch.
MAX_RETRY_AFTER_SECONDS = 900.0

#: How long after its `expires_at` a batch is waited for by default. Its results are assembled then, which was seen to
#: take hours.
EXPIRY_GRACE_SECONDS = 6 * 3600.0

#: How long a batch is waited for that was cancelled because the time was over. A cancel was seen to take 25 minutes.
CANCEL_GRACE_SECONDS = 3600.0

#: What becomes of batches that have not ended in time: they go on, or they are cancelled and what was done is kept.
OnTimeout = Literal["keep", "cancel"]

#: What was seen of one batch: the batch, or why it could not be read.
Seen = Batch | KimiError


@dataclass(frozen=True)
class Wait:
    """Look again later.

    :param seconds: How much later.
    :param notes: What is worth a line in the log.
    """

    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cancel:
    """Cancel these batches, then look again.

    :param seconds: When to look again.
    """

    batch_ids: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Finish:
    """Stop waiting."""

    event: BatchEvent


#: What a wait does next.
Step = Wait | Cancel | Finish


def decide_next(
    seen: Mapping[str, Seen],
    *,
    now: float,
    deadline: float | None,
    poll_interval_seconds: float,
    on_timeout: OnTimeout = "keep",
) -> Step:
    """Decide after one look at every batch of a wait.

    A permanent fault ends the wait at once; a passing one, and a status that nobody knows, only delay it; the
    deadline ends it in any case. What runs is then cancelled if that is asked for, and its end is waited for once more.

    :param seen: What was seen of each batch, by id.
    :param now: Unix seconds.
    :param deadline: Unix seconds after which nobody waits any more. The last expiry of the batches plus a grace ends
        the wait before it; None leaves only that.
    :param poll_interval_seconds: Time between two looks.
    """
    errors = {batch_id: error for batch_id, error in seen.items() if isinstance(error, KimiError)}
    batches = {batch_id: batch for batch_id, batch in seen.items() if isinstance(batch, Batch)}
    for error in errors.values():
        if not error.retryable:
            return Finish(BatchEvent.failed(batches, str(error)))
    end = _end_of_wait(seen, deadline)
    is_over = end is not None and now >= end
    was_cancelled = is_over and on_timeout == "cancel" and any(b.status == "cancelled" for b in batches.values())
    if not errors and all(batch.is_terminal for batch in batches.values()) and not was_cancelled:
        return Finish(BatchEvent.ended(batches))
    if end is not None and is_over:
        left = end + CANCEL_GRACE_SECONDS - now if on_timeout == "cancel" else 0.0
        running = [batch_id for batch_id, batch in batches.items() if batch.status in CANCELLABLE_STATUSES]
        if running and left > 0:
            return Cancel(tuple(running), min(poll_interval_seconds, left))
        if left <= 0 or not any(_may_end(what) for what in seen.values()):
            return Finish(BatchEvent.timed_out(batches, tuple(seen), [str(error) for error in errors.values()]))
        end += CANCEL_GRACE_SECONDS
    asked = [error.retry_after_seconds or 0.0 for error in errors.values() if isinstance(error, KimiApiError)]
    seconds = max(poll_interval_seconds, min(max(asked, default=0.0), MAX_RETRY_AFTER_SECONDS))
    if end is not None:
        seconds = min(seconds, end - now)
    return Wait(seconds, tuple(_notes(errors, batches)))


def _end_of_wait(seen: Mapping[str, Seen], deadline: float | None) -> float | None:
    """When the wait ends: at the deadline, or when every batch should have ended by itself, whichever is first.

    Both are the same however often it is asked, so the answer does not move while nothing new is seen.
    """
    expiries = [what.expires_at for what in seen.values() if isinstance(what, Batch)]
    known = [expiry for expiry in expiries if expiry is not None]
    if not known or len(known) < len(seen):
        return deadline
    own = max(known) + EXPIRY_GRACE_SECONDS
    return own if deadline is None else min(own, deadline)


def _may_end(what: Seen) -> bool:
    return not isinstance(what, Batch) or not what.is_terminal


def _notes(errors: Mapping[str, KimiError], batches: Mapping[str, Batch]) -> list[str]:
    notes = [f"Could not look at batch {batch_id}: {error}" for batch_id, error in errors.items()]
    for batch in batches.values():
        if not batch.is_terminal and batch.status not in ACTIVE_STATUSES:
            notes.append(f"Batch {batch.id} has the status {batch.status!r}, which is not documented.")
    return notes


def progress_line(batch: Batch) -> str:
    """Say in one line where a batch stands."""
    counts = batch.counts
    rows = f", {counts.completed + counts.failed:,} of {counts.total:,} rows done" if counts.total else ""
    failed = f" ({counts.failed:,} failed)" if counts.failed else ""
    return f"Batch {batch.id}: {batch.status}{rows}{failed}"
