"""What next? The decisions of every wait, sync or async: values and a time in, a value out."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_kimi.api.models import ACTIVE_STATUSES, Batch
from airflow_provider_kimi.exceptions import KimiError, KimiInputError
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.mark import CLOCK_MARGIN_SECONDS
from airflow_provider_kimi.records.watch import CANCEL_GRACE_SECONDS, EXPIRY_GRACE_SECONDS, Watch
from airflow_provider_kimi.waiting import endings
from airflow_provider_kimi.waiting.doubt import Doubt
from airflow_provider_kimi.waiting.known import Known, just_read
from airflow_provider_kimi.waiting.stalls import Note, in_short, stall_note, stalls_at

#: When a cancel is asked for again that has changed nothing yet.
CANCEL_AGAIN_SECONDS = 60.0

#: Why batches are cancelled at the deadline.
TIMED_OUT = "The time for the wait (timeout or finish_by) is over, and what runs then is to be cancelled."


@dataclass(frozen=True)
class Wait:
    """Wait on.

    :param until: Unix seconds at which the time alone changes the decision; None if it never does.
    :param fault: Why batches could not be read; empty if they could.
    :param notes: What else is worth a warning.
    :param doubts: Faults that look permanent; each is worth a warning at once, since somebody can put it right.
    """

    until: float | None = None
    fault: str = ""
    notes: tuple[Note, ...] = ()
    doubts: tuple[Note, ...] = ()


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

    :param cancels: Batches to cancel before; the wait does not see what comes of it.
    """

    event: BatchEvent
    cancels: tuple[str, ...] = ()


#: What a wait does next.
Step = Wait | Cancel | Finish


class _View(NamedTuple):
    """What a wait is decided by.

    :param read: Batches that the last poll read.
    :param running: Those that have not ended, and since when they stand as they do.
    :param end: When the wait ends, in unix seconds.
    :param limit: When it ends at last, if batches are cancelled at its end.
    """

    watch: Watch
    known: Mapping[str, Known]
    read: Mapping[str, Batch]
    running: list[tuple[Batch, float]]
    now: float
    end: float
    limit: float

    @property
    def is_over(self) -> bool:
        return self.now >= self.end

    @property
    def has_ended(self) -> bool:
        return len(self.read) == len(self.watch.batch_ids) and all(batch.is_terminal for batch in self.read.values())

    @property
    def is_enough(self) -> bool:
        """Whether as many have ended as the wait is for."""
        look_at, fewer_than = self.watch.look_at, self.watch.fewer_than
        if look_at is not None or fewer_than is None:
            return self.has_ended if look_at is None else self.now >= look_at
        ended = sum(batch.is_terminal for batch in self.read.values())
        return len(self.watch.batch_ids) - ended < fewer_than

    @property
    def next_end(self) -> float:
        return self.limit if self.is_over else self.end


def decide_next(watch: Watch, known: Mapping[str, Known], now: float) -> Step:
    """Decide after a poll of the batches of a wait.

    A fault that looks permanent ends the wait once it has lasted; a passing one, and an undocumented status, only delay
    it. The deadline ends it in any case. What runs is then cancelled if that is asked for, and its end is waited for
    once more. The last expiry of the batches plus a grace is a deadline too. A stalled batch is dealt with as asked.

    :param known: What is known of each batch, by id; a batch that was not polled yet is missing.
    :param now: By the platform's clock, in unix seconds.
    """
    own = {batch_id: known[batch_id] for batch_id in watch.batch_ids if batch_id in known}
    read = just_read(own)
    running = [(batch, own[batch_id].since) for batch_id, batch in read.items() if not batch.is_terminal]
    end = end_of_wait(watch, read.values())
    limit = end + CANCEL_GRACE_SECONDS if watch.on_timeout == "cancel" else end
    view = _View(watch, own, read, running, now, end, limit)
    return _permanent_fault(view) or _ended(view) or _overdue(view) or _stalled(view) or _wait(view)


def _permanent_fault(view: _View) -> Step | None:
    for batch_id, what in view.known.items():
        fault, doubt = what.fault, what.doubt
        if fault is None or fault.retryable or doubt is None or view.now < doubt.ends_at:
            continue
        message = str(fault)
        if batch_id not in message:  # it was met at a batch of another wait, and concerns all
            message = endings.unread([batch_id], 1, fault)
        return Finish(endings.failed(view.known, message, retryable=not isinstance(fault, KimiInputError)))
    return None


def _ended(view: _View) -> Step | None:
    if not view.is_enough:
        return None
    is_by_timeout = view.is_over and view.watch.on_timeout == "cancel"
    if is_by_timeout and any(_was_cancelled_after(batch, view.end) for batch in view.read.values()):
        return None
    return Finish(endings.ended(view.read))


def _overdue(view: _View) -> Step | None:
    if not view.is_over:
        return None
    watch, now = view.watch, view.now
    running = _cancellable(view.read.values()) if watch.on_timeout == "cancel" else ()
    if running and now < view.limit:
        return Cancel(running, min(now + CANCEL_AGAIN_SECONDS, view.limit), TIMED_OUT)
    if now < view.limit and not view.has_ended:
        return None
    is_expiry = watch.deadline is None or view.end < watch.deadline
    event = endings.timed_out(view.known, watch.batch_ids, running, is_expiry=is_expiry, to_come=watch.to_come)
    return Finish(event, running)


def _stalled(view: _View) -> Step | None:
    on_stall = view.watch.on_stall
    stalled, notes = _stalled_batches(view) if on_stall != "keep" else ([], [])
    if stalled and on_stall == "fail":
        return Finish(endings.failed(view.known, f"The wait ends, as on_stall='fail' asks. {in_short(notes)}"))
    if on_stall == "cancel" and (cancellable := _cancellable(stalled)):
        until = min(view.now + CANCEL_AGAIN_SECONDS, view.next_end)
        return Cancel(cancellable, until, f"{in_short(notes)} on_stall is 'cancel'.")
    return None


def _wait(view: _View) -> Step:
    moments = [
        view.next_end,
        view.watch.look_at or math.inf,
        *(stalls_at(*running, view.watch.stall_seconds) for running in view.running),
    ]
    moments += [what.doubt.ends_at for what in view.known.values() if what.doubt is not None]
    until = min((moment for moment in moments if view.now < moment < math.inf), default=None)
    odd = [
        f"Batch {batch.id} has the status {batch.status!r}, which is not documented."
        for batch, _ in view.running
        if batch.status not in ACTIVE_STATUSES
    ]
    notes = (*(Note(line, line) for line in odd), *_stalled_batches(view)[1])
    faults = {batch_id: what.fault for batch_id, what in view.known.items() if what.fault is not None}
    if not faults:
        return Wait(until, notes=notes)
    *_, last = faults.values()
    return Wait(until, endings.unread(faults, len(view.watch.batch_ids), last), notes, _doubts(view))


def _doubts(view: _View) -> tuple[Note, ...]:
    """One for each fault that looks permanent, however many batches it was met at."""
    found: dict[Doubt, tuple[list[str], KimiError]] = {}
    for batch_id, what in view.known.items():
        if what.doubt is not None and what.fault is not None and not what.fault.retryable:
            found.setdefault(what.doubt, ([], what.fault))[0].append(batch_id)
    return tuple(
        Note(f"{doubt.scope} in doubt since {doubt.since}", endings.doubted(doubt, batch_ids, fault))
        for doubt, (batch_ids, fault) in found.items()
    )


def _stalled_batches(view: _View) -> tuple[list[Batch], list[Note]]:
    seconds = view.watch.stall_seconds
    stalled = [(batch, since) for batch, since in view.running if stalls_at(batch, since, seconds) <= view.now]
    return [batch for batch, _ in stalled], [stall_note(*one, seconds, view.now) for one in stalled]


def end_of_wait(watch: Watch, read: Iterable[Batch]) -> float:
    """When the wait ends: at the deadline, or when every batch should have ended by itself, whichever is first.

    Neither moves while nothing new is read.
    """
    deadline = math.inf if watch.deadline is None else watch.deadline
    batches = {batch.id: batch for batch in read if not (watch.to_come and batch.is_terminal)}
    ended = len(list(read)) - len(batches)
    expiries = [batch.expires_at for batch in batches.values() if batch.expires_at is not None]
    if not expiries or len(expiries) + ended < len(watch.batch_ids):
        return deadline
    return min(max(expiries) + EXPIRY_GRACE_SECONDS, deadline)


def _cancellable(batches: Iterable[Batch]) -> tuple[str, ...]:
    return tuple(batch.id for batch in batches if batch.is_cancellable)


def _was_cancelled_after(batch: Batch, end: float) -> bool:
    """Whether a batch was cancelled because the wait timed out, as far as its own times show."""
    asked_at = batch.cancelling_at or batch.cancelled_at
    return batch.status == "cancelled" and (asked_at is None or asked_at >= end - CLOCK_MARGIN_SECONDS)
