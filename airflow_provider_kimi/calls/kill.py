"""Kill: cancel what runs of a task that Airflow has killed, in the short time that is left, and say what is left."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, Self

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED, RUNS_ON, standing
from airflow_provider_kimi.calls.cancel import acancel_batch
from airflow_provider_kimi.calls.claims import Verdict
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.exceptions import KimiApiError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook

#: The time for all cancels of a killed task: a minute, over which the platform counts requests, and a little more.
KILL_SECONDS = 65.0

#: Pauses before the cancels that met a passing fault are asked for again; the last one goes on.
KILL_PAUSES_SECONDS = (2.0, 4.0, 8.0)

#: Requests a minute of the platform's lowest tier: the shortest pause after a request that was one too many.
FEWEST_REQUESTS_PER_MINUTE = 3.0

#: Cancels of one task at a time, as long as none is refused for the number of requests.
SIDE_BY_SIDE = 3

#: How long the thread of a kill waits for the answer that the interrupted code waits for, before it searches.
ANSWER_SECONDS = 2.0


def pause_before_next(faults: Iterable[KimiError], turn: int) -> float:
    """Seconds before cancels are asked for again that met these faults in the given turn, from 0."""
    pause = KILL_PAUSES_SECONDS[min(turn, len(KILL_PAUSES_SECONDS) - 1)]
    for fault in faults:
        spaced = 60.0 / FEWEST_REQUESTS_PER_MINUTE if _is_rate_limit(fault) else 0.0
        pause = max(pause, spaced, fault.retry_after_seconds or 0.0)
    return pause


def _is_rate_limit(fault: KimiError) -> bool:
    return isinstance(fault, KimiApiError) and fault.status_code == 429


async def acancel_batches(
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
        await acancel_batches(cancel, verdict.cancels, log, verdict.reason)
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
        if any(map(_is_rate_limit, self.faults)):
            self._at_once = asyncio.Semaphore(1)
        self.faults = []
        again = await asyncio.gather(*map(self._has_to_be_repeated, batch_ids))
        return list(compress(batch_ids, again))

    async def _has_to_be_repeated(self, batch_id: str) -> bool:
        async with self._at_once:
            if any(map(_is_rate_limit, self.faults)):
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
            "%s. KimiBatchResultsOperator lands them once the batches have ended; a clear of the task that created "
            "the batches submits all their rows again. They are in %s.",
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


class Kill:
    """What a worker does about its batches once Airflow kills its task: in a thread, beside the interrupted code.

    Airflow 3 calls `on_kill` from a signal handler in the main thread, goes on with the interrupted code, and ends the
    process 5 seconds later. Airflow 2 raises an error in that code afterwards. A handler that did the work itself would
    wait for locks that the interrupted code holds, find modules half imported, and keep that code from the answer of a
    create that is on its way.

    It is entered while the task's own code runs.

    :param work: Deals with the batches. It gets this, to know whether the task's own code is over.
    """

    def __init__(self, work: Callable[["Kill"], None], log: Log) -> None:
        self._work = work
        self._log = log
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The task's own code is over: let what has begun come to its end."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(KILL_SECONDS)

    def begin(self) -> None:
        """Begin, once; where the task's own code is over already, wait for the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kimi-kill", daemon=True)
            self._thread.start()
        if self._over.is_set():
            self._thread.join(KILL_SECONDS)

    def is_over(self, seconds: float) -> bool:
        """Wait this long for the end of the task's own code; whether it has come."""
        return self._over.wait(seconds)

    def _run(self) -> None:
        try:
            self._work(self)
        except Exception as error:  # whatever Airflow or a library raises: it must be in the log
            self._log.warning(
                "Not all batches of this task were dealt with; what runs goes on and is billed: %s", error
            )
