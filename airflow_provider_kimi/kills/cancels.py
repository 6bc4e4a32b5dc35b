"""Cancels of a task that Airflow has killed: what runs, in the short time that is left; the log says what is left."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED, RUNS_ON, standing
from airflow_provider_kimi.calls.cancel import acancel_batch
from airflow_provider_kimi.calls.patience import LOWEST_REQUESTS_PER_MINUTE, Log, is_rate_limit
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.claims import Verdict

#: The time for all cancels of a killed task: a minute, over which the platform counts requests, and a little more.
KILL_SECONDS = 65.0

#: Pauses before the cancels that met a passing fault are asked for again; the last one goes on.
KILL_PAUSES_SECONDS = (2.0, 4.0, 8.0)

#: Cancels of one task at a time, as long as none is refused for the number of requests.
SIDE_BY_SIDE = 3


def pause_before_next(faults: Iterable[KimiError], turn: int) -> float:
    """Seconds before cancels are asked for again that met these faults in the given turn, from 0."""
    pause = KILL_PAUSES_SECONDS[min(turn, len(KILL_PAUSES_SECONDS) - 1)]
    for fault in faults:
        spaced = 60.0 / LOWEST_REQUESTS_PER_MINUTE if is_rate_limit(fault) else 0.0
        pause = max(pause, spaced, fault.retry_after_seconds or 0.0)
    return pause


async def cancel_while_killed(
    cancel: Callable[[str], Awaitable[Batch]],
    batch_ids: Sequence[str],
    log: Log,
    reason: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[Batch]:
    """Cancel every batch of a killed task, whatever becomes of the others, and return them as they stand.

    After a fault that passes it is asked again, for as long as `KILL_SECONDS`. The log says how each batch stands, how
    what is done can be landed, and which batches were not cancelled.
    """
    log.info("Cancelling, since %s: %s.", reason, ", ".join(batch_ids))
    cancels = _Cancels(cancel, log, reason)
    end = clock() + KILL_SECONDS
    left, turn = list(batch_ids), 0
    while left := await cancels.ask(left):
        pause = pause_before_next(cancels.faults, turn)
        if clock() + pause >= end:
            break
        if not turn:  # a worker may be gone before the next turn
            log.warning(
                "Asking again in %g s. %s until then. KimiOrphanBatchesOperator finds them: %s.",
                pause,
                RUNS_ON,
                ", ".join(left),
            )
        await sleep(pause)
        turn += 1
    _log_what_to_do(log, list(cancels.ended.values()), [one for one in batch_ids if one not in cancels.ended])
    return list(cancels.ended.values())


async def acancel_given_up(hook: KimiHook, verdict: Verdict, seen: Mapping[str, Batch], log: Log) -> None:
    """Do what was decided about the batches of a killed task.

    :param hook: It is not used in another event loop; it is closed in the end.
    :param seen: Batches as they were read a short time ago, whose cancel needs no read.
    """
    for note in verdict.notes:
        log.info(note)
    if not verdict.cancels:
        return

    def cancel(batch_id: str) -> Awaitable[Batch]:
        return acancel_batch(hook, batch_id, seen.get(batch_id))

    try:
        await cancel_while_killed(cancel, verdict.cancels, log, verdict.reason)
    finally:
        await hook.aclose()


class _Cancels:
    """Asks for cancels in turns: side by side at first, one by one once the platform has counted too many requests."""

    def __init__(self, cancel: Callable[[str], Awaitable[Batch]], log: Log, reason: str) -> None:
        self._cancel = cancel
        self._log = log
        self._reason = reason
        self._at_once = asyncio.Semaphore(SIDE_BY_SIDE)
        self.ended: dict[str, Batch] = {}
        self.faults: list[KimiError] = []

    async def ask(self, batch_ids: Sequence[str]) -> list[str]:
        """Ask for these cancels, and return those that have to be asked for again."""
        if any(map(is_rate_limit, self.faults)):
            self._at_once = asyncio.Semaphore(1)
        self.faults = []
        again = await asyncio.gather(*map(self._has_to_be_repeated, batch_ids))
        return list(compress(batch_ids, again))

    async def _has_to_be_repeated(self, batch_id: str) -> bool:
        async with self._at_once:
            if any(map(is_rate_limit, self.faults)):
                return True
            try:
                batch = await self._cancel(batch_id)
            except KimiError as error:
                self._log.warning("Batch %s was not cancelled (%s): %s", batch_id, self._reason, error)
                self.faults.append(error)
                return error.retryable
        self.ended[batch_id] = batch
        how = "" if batch.status.startswith("cancel") else ": there is nothing to cancel"
        self._log.info("%s%s (%s).", standing(batch.id, batch.status, batch.counts), how, self._reason)
        return False


def _log_what_to_do(log: Log, ended: Sequence[Batch], left: Sequence[str]) -> None:
    if left:
        log.warning(
            "%s of %s batches were not cancelled. %s. KimiOrphanBatchesOperator finds them, and "
            "KimiCancelBatchOperator cancels them: %s.",
            len(left),
            len(left) + len(ended),
            RUNS_ON,
            ", ".join(left),
        )
    paid = [batch.id for batch in ended if batch.counts.completed or not batch.counts.total]
    if paid:
        log.info(
            "%s. Once the batches have ended, a clear of the waiting task and those behind it lands them; a clear of "
            "the task that created the batches (the same one, if it is a KimiBatchOperator) also asks for the rows "
            "without an answer. They are in %s.",
            COMPLETED_IS_BILLED,
            ", ".join(paid),
        )


async def to_the_end(work: Coroutine[Any, Any, Any], log: Log, seconds: float = KILL_SECONDS + 5.0) -> None:
    """Run to its end what must not be cut off, and log where it does not get there.

    The triggerer cancels a trigger that is being killed once a second, and with it whatever `on_kill` awaits.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    end = loop.time() + seconds
    while not task.done() and loop.time() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=end - loop.time())
    if not task.done():
        task.cancel()
        fault: object = f"it took longer than {seconds:g} s"
    else:
        fault = task.exception()
    if fault:
        log.warning("Not all batches of this task were dealt with; what runs goes on and is billed: %s", fault)
