"""Wait: look at batches again and again until the decision says stop."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.waiting.decision import TIME_IS_OVER, Cancel, Finish, Seen, Watch, decide_next, end_of_wait
from airflow_provider_kimi.waiting.poll import MAX_FAULTS_OF_A_ROUND, Alone, InWorker
from airflow_provider_kimi.waiting.progress import Progress
from airflow_provider_kimi.waiting.stalls import Move, moves_after
from airflow_provider_kimi.waiting.wait_log import Diary

#: Seconds after which a task that has just started believes a fault that looks permanent.
DOUBT_SECONDS = 2.0

CancelCall = Callable[[str], Awaitable[Batch]]


class Sight(Protocol):
    """How a wait learns of its batches: alone, or by the looks that many share."""

    async def look(self, until: float | None, speak_at: float | None) -> Mapping[str, Seen]:
        """Return what is known of each batch, when there may be something to decide.

        :param until: Unix seconds at which the time alone changes the decision; None if it never does.
        :param speak_at: Unix seconds at which there is something to write; None if there is not.
        """


class Looked(NamedTuple):
    """What a single look came to.

    :param event: Why the wait is over; None where it goes on.
    :param ends_at: Unix seconds at which it is over at the latest, without the hour for cancels.
    :param statuses: Statuses that batches have, as the log tells.
    :param pause_seconds: How long to wait before the next look.
    """

    event: BatchEvent | None
    ends_at: float
    statuses: frozenset[str]
    pause_seconds: float


def nobody(progress: Progress) -> None:
    """Show progress to nobody."""


async def until_finished(
    sight: Sight,
    cancel: CancelCall,
    watch: Watch,
    log: Log,
    *,
    told: Collection[str] | None = None,
    show: Callable[[Progress], None] = nobody,
    clock: Callable[[], float] = time.time,
) -> BatchEvent:
    """Look until the decision says stop.

    :param cancel: Cancels a batch.
    :param told: Statuses that the log has told already; None where that is not known.
    :param show: Shows progress where a user looks for it.
    """
    diary = Diary(log, len(watch.batch_ids), clock(), told)
    moves: Mapping[str, Move] = {}
    reasons: dict[tuple[str, ...], str] = {}
    until, cancel_at = watch.deadline, 0.0
    while True:
        seen = await sight.look(until, diary.again_at)
        now = clock()
        moves = moves_after(moves, seen, now)
        step = decide_next(watch, seen, moves, now)
        if (progress := diary.write(seen, step, now)) is not None:
            show(progress)
        if isinstance(step, Finish):
            await _ask_for_cancels(cancel, step.cancels, TIME_IS_OVER, diary)
            return step.event.after_cancels(reasons.values())
        if isinstance(step, Cancel) and now >= cancel_at:  # all was just read; between two, a batch may have gone on
            reasons.setdefault(step.batch_ids, step.reason)
            await _ask_for_cancels(cancel, step.batch_ids, step.reason, diary)
            cancel_at = step.until
        until = cancel_at if isinstance(step, Cancel) else step.until


async def _ask_for_cancels(cancel: CancelCall, batch_ids: Sequence[str], reason: str, diary: Diary) -> None:
    """Ask for cancels; one that fails is asked for again after a later look, and after two the rest is left for it."""
    if batch_ids:
        ids = ", ".join(batch_ids)
        diary.warn(f"{reason} Cancelling {ids}.", subject=f"cancels of {ids}")
    faults = 0
    for batch_id in random.sample(batch_ids, len(batch_ids)):
        try:
            await cancel(batch_id)
        except KimiError as error:
            diary.warn(str(error), subject=f"cancel of {batch_id}")
            faults += error.retryable
        if faults == MAX_FAULTS_OF_A_ROUND:
            return


def look_once(
    hook: KimiHook,
    watch: Watch,
    log: Log,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Looked:
    """Look once at every batch, and cancel what is to be cancelled."""

    async def cancel(batch_id: str) -> Batch:
        return hook.cancel_batch(batch_id)

    async def look() -> Looked:
        alone = Alone(InWorker(hook), watch, clock=clock)
        seen = await alone.look_now()
        if alone.is_in_doubt:
            sleep(DOUBT_SECONDS)
            seen = await alone.look_now()
        now = clock()
        step = decide_next(watch, seen, moves_after({}, seen, now), now)
        diary = Diary(log, len(watch.batch_ids), now, told=())
        diary.write(seen, step, now)
        batches = {batch_id: what for batch_id, what in seen.items() if isinstance(what, Batch)}
        ends_at = end_of_wait(watch, batches)
        statuses = frozenset(batch.status for batch in batches.values())
        if isinstance(step, Finish):
            await _ask_for_cancels(cancel, step.cancels, TIME_IS_OVER, diary)
            return Looked(step.event, ends_at, statuses, 0.0)
        if isinstance(step, Cancel):
            await _ask_for_cancels(cancel, step.batch_ids, step.reason, diary)
        pause = alone.pause_seconds()
        return Looked(None, ends_at, statuses, pause if step.until is None else min(pause, step.until - now))

    return asyncio.run(look())


def wait_here(hook: KimiHook, watch: Watch, log: Log, told: Collection[str] | None = None) -> BatchEvent:
    """Wait in this process, with the very loop of the trigger."""

    async def cancel(batch_id: str) -> Batch:
        return hook.cancel_batch(batch_id)

    return asyncio.run(until_finished(Alone(InWorker(hook), watch), cancel, watch, log, told=told))


def leave_running(calls: Calls, event: BatchEvent, batch_ids: Sequence[str], *, cancel: bool) -> str:
    """Decide about batches that run while their task fails for good, and say what becomes of them.

    :param batch_ids: All that the task waits for.
    """
    unread = [batch_id for batch_id in batch_ids if batch_id not in event.batches]
    told = f"Not read, so perhaps running and billed: {', '.join(unread)}." if unread else ""
    running = [batch_id for batch_id, end in event.batches.items() if not end.is_terminal]
    if not running:
        return told
    if not cancel:
        left = f"Still running and billed: {', '.join(running)}. A clear of this task waits for them again."
        return f"{left} {told}".strip()
    try:
        ended = cancel_batches(calls, running)
    except KimiError as error:
        return str(error)
    stand = ", ".join(f"{batch.id} is {batch.status}" for batch in ended)
    return f"Cancelled, as on_final_failure asks: {stand}. {told}".strip()
