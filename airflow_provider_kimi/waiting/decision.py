"""What next? The one decision of every wait, sync or async: it takes what was seen and a time, and touches nothing."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_provider_kimi.api.models import ACTIVE_STATUSES, Batch
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.waiting.stalls import (
    DEFAULT_STALL_SECONDS,
    Move,
    Note,
    OnStall,
    in_short,
    stall_note,
    stalls_at,
)

#: How long after its `expires_at` a batch is waited for by default. Its results are assembled then, which was seen to
#: take hours.
EXPIRY_GRACE_SECONDS = 6 * 3600.0

#: How long a batch is waited for that was cancelled because the time was over. A cancel was seen to take 25 minutes.
CANCEL_GRACE_SECONDS = 3600.0

#: Shortest time between two looks, whatever is asked for.
SHORTEST_INTERVAL_SECONDS = 0.1

#: When a cancel is asked for again that has changed nothing yet.
CANCEL_AGAIN_SECONDS = 60.0

#: How far the platform's clock may be off.
CLOCK_MARGIN_SECONDS = 300.0

#: Why batches are cancelled when the time is over.
TIME_IS_OVER = "The time to wait is over, and on_timeout is 'cancel'."

#: What becomes of batches that have not ended in time: they go on, or they are cancelled and what was done is kept.
OnTimeout = Literal["keep", "cancel"]

#: What was seen of one batch: the batch, or why it could not be read.
Seen = Batch | KimiError


@dataclass(frozen=True)
class Watch:
    """A wait for batches.

    :param batch_ids: Each is waited for once, however often it is given.
    :param poll_interval_seconds: Shortest time between two looks; None for a pace that fits the batches' age.
    :param deadline: Unix seconds; absolute, so that a restarted triggerer does not begin anew. None for what the
        batches' own expiry sets.
    :param on_timeout: What becomes of batches that have not ended by then.
    :param stall_seconds: How long a batch may stand still.
    :param on_stall: What becomes of one that stands still for longer.
    """

    batch_ids: tuple[str, ...]
    poll_interval_seconds: float | None = None
    deadline: float | None = None
    on_timeout: OnTimeout = "keep"
    stall_seconds: float = DEFAULT_STALL_SECONDS
    on_stall: OnStall = "keep"

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch_ids", tuple(dict.fromkeys(self.batch_ids)))
        if self.poll_interval_seconds is not None:
            interval = max(self.poll_interval_seconds, SHORTEST_INTERVAL_SECONDS)
            object.__setattr__(self, "poll_interval_seconds", interval)


@dataclass(frozen=True)
class Wait:
    """Wait on.

    :param until: Unix seconds at which the time alone changes the decision; None if it never does.
    :param fault: Why batches could not be looked at; empty if they could.
    :param notes: What else is worth a warning.
    """

    until: float | None = None
    fault: str = ""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Cancel:
    """Cancel batches, then wait on.

    :param until: When to decide again, if nothing changes before, in unix seconds.
    :param reason: Why, for the log.
    """

    batch_ids: tuple[str, ...]
    until: float
    reason: str


@dataclass(frozen=True)
class Finish:
    """Stop waiting.

    :param cancels: Batches to cancel before, of which nobody will see what comes of it.
    """

    event: BatchEvent
    cancels: tuple[str, ...] = ()


#: What a wait does next.
Step = Wait | Cancel | Finish


def decide_next(watch: Watch, seen: Mapping[str, Seen], moves: Mapping[str, Move], now: float) -> Step:
    """Decide after a look at the batches of a wait.

    A permanent fault ends the wait at once; a passing one, and a status that nobody knows, only delay it; the
    deadline ends it in any case. What runs is then cancelled if that is asked for, and its end is waited for once more.
    The last expiry of the batches plus a grace is a deadline too. A batch that stands still is dealt with as asked.

    :param seen: What was seen of each batch, by id; a batch that was not seen yet is missing.
    :param moves: When each of them moved last.
    :param now: Unix seconds.
    """
    known = {batch_id: seen[batch_id] for batch_id in watch.batch_ids if batch_id in seen}
    errors = {batch_id: error for batch_id, error in known.items() if isinstance(error, KimiError)}
    batches = {batch_id: batch for batch_id, batch in known.items() if isinstance(batch, Batch)}
    for batch_id, error in errors.items():
        if not error.retryable:
            told = str(error)
            if batch_id not in told:  # it was met at a batch of another wait, and concerns all
                told = f"Could not look at batch {batch_id}: {told}"
            return Finish(BatchEvent.failed(batches, told, _last_read(errors, moves)))
    end = end_of_wait(watch, batches)
    is_over = now >= end
    cancels = is_over and watch.on_timeout == "cancel"
    has_ended = len(batches) == len(watch.batch_ids) and all(batch.is_terminal for batch in batches.values())
    if has_ended and not (cancels and any(_was_cancelled_after(batch, end) for batch in batches.values())):
        return Finish(BatchEvent.ended(batches))
    if is_over:
        limit = end + CANCEL_GRACE_SECONDS if cancels else now
        running = _cancellable(batches.values()) if cancels else ()
        if running and now < limit:
            return Cancel(running, min(now + CANCEL_AGAIN_SECONDS, limit), TIME_IS_OVER)
        if now >= limit or has_ended:
            faults = [str(error) for error in errors.values()]
            is_expiry = watch.deadline is None or end < watch.deadline
            event = BatchEvent.timed_out(batches, watch.batch_ids, faults, running, is_expiry=is_expiry)
            return Finish(event, running)
        end = limit
    return _wait_on(watch, batches, errors, moves, now, end)


def _wait_on(
    watch: Watch,
    batches: Mapping[str, Batch],
    errors: Mapping[str, KimiError],
    moves: Mapping[str, Move],
    now: float,
    end: float,
) -> Step:
    """Wait, unless a batch stands still and something else is asked for that case."""
    running = [batch for batch in batches.values() if not batch.is_terminal and batch.id in moves]
    stalls = {batch.id: stalls_at(batch, moves[batch.id], watch.stall_seconds) for batch in running}
    stalled = [batch for batch in running if stalls[batch.id] <= now]
    notes = [stall_note(batch, moves[batch.id], watch.stall_seconds, now) for batch in stalled]
    if stalled and watch.on_stall == "fail":
        told = f"{in_short(notes)} The wait is given up, as on_stall='fail' asks."
        return Finish(BatchEvent.failed(batches, told, _last_read(errors, moves)))
    if watch.on_stall == "cancel" and (cancellable := _cancellable(stalled)):
        return Cancel(cancellable, min(now + CANCEL_AGAIN_SECONDS, end), f"{in_short(notes)} on_stall is 'cancel'.")
    moments = [moment for moment in (end, *stalls.values()) if now < moment < math.inf]
    odd = [
        f"Batch {batch.id} has the status {batch.status!r}, which is not documented."
        for batch in running
        if batch.status not in ACTIVE_STATUSES
    ]
    return Wait(min(moments, default=None), _fault(errors, watch), (*(Note(line, line) for line in odd), *notes))


def end_of_wait(watch: Watch, batches: Mapping[str, Batch]) -> float:
    """When the wait ends: at the deadline, or when every batch should have ended by itself, whichever is first.

    Both are the same however often it is asked, so the answer does not move while nothing new is seen.
    """
    deadline = math.inf if watch.deadline is None else watch.deadline
    known = [batch.expires_at for batch in batches.values() if batch.expires_at is not None]
    if not known or len(known) < len(watch.batch_ids):
        return deadline
    return min(max(known) + EXPIRY_GRACE_SECONDS, deadline)


def _last_read(batch_ids: Iterable[str], moves: Mapping[str, Move]) -> dict[str, BatchEnd]:
    return {batch_id: BatchEnd(*moves[batch_id].standing) for batch_id in batch_ids if batch_id in moves}


def _cancellable(batches: Iterable[Batch]) -> tuple[str, ...]:
    return tuple(batch.id for batch in batches if batch.is_cancellable)


def _was_cancelled_after(batch: Batch, end: float) -> bool:
    """Whether a batch was cancelled because the time to wait was over, as far as its own times tell."""
    asked_at = batch.cancelling_at or batch.cancelled_at
    return batch.status == "cancelled" and (asked_at is None or asked_at >= end - CLOCK_MARGIN_SECONDS)


def _fault(errors: Mapping[str, KimiError], watch: Watch) -> str:
    if not errors:
        return ""
    batch_id, error = list(errors.items())[-1]
    which = f"batch {batch_id}" if len(watch.batch_ids) == 1 else f"{len(errors)} of {len(watch.batch_ids)} batches"
    return f"Could not look at {which}: {error}"
