"""Cancel: ask where it can help. A batch that ended first is a result, not an error."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, Literal, Protocol

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import AtOnce, Calls, Log, in_time
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError

#: What becomes of batches that run while their task fails for good.
OnFinalFailure = Literal["keep", "cancel"]

#: States that a user gives to a waiting task to be rid of it. After a clear it has none of them.
GIVEN_UP_STATES = frozenset({"failed", "success", "skipped"})

#: Cancels of all waits of a triggerer at a time: many may have the same deadline.
CANCELS = AtOnce(3)

#: Pauses before the cancels of a killed task that met a passing fault are asked for again, and the time for all.
KILL_PAUSES_SECONDS = (2.0, 4.0, 8.0)
KILL_SECONDS = 60.0


def cancel_batch(calls: Calls, batch_id: str) -> Batch:
    """Cancel one batch, patiently, and return it as it then stands.

    While results are assembled (`finalizing`) no cancel is sent: the rows are done and billed by then, and a cancel
    was seen to lose them.
    """
    batch = calls.read(lambda: calls.hook.get_batch(batch_id))
    if batch.is_cancellable:
        try:
            batch = calls.read(lambda: calls.hook.cancel_batch(batch_id))
        except KimiApiError as error:
            if error.status_code != 400:  # 400: it came too late, or once more
                raise
            batch = calls.read(lambda: calls.hook.get_batch(batch_id))
    if batch.status not in ("cancelling", "cancelled"):
        calls.log.info("Batch %s is %s: there is nothing to cancel.", batch_id, batch.status)
    return batch


def cancel_batches(calls: Calls, batch_ids: Sequence[str]) -> list[Batch]:
    """Cancel every batch, whatever becomes of the others.

    :raises KimiError: The cancel of one failed; the message says which, and how the others stand.
    """
    batches: list[Batch] = []
    faults: list[KimiError] = []
    for batch_id in batch_ids:
        try:
            batches.append(cancel_batch(calls, batch_id))
        except KimiError as error:
            faults.append(error)
    if not faults:
        return batches
    others = f" The others: {', '.join(f'{batch.id} is {batch.status}' for batch in batches)}." if batches else ""
    raise KimiBatchError(
        f"{len(faults)} of {len(batch_ids)} batches could not be cancelled. {' '.join(map(str, faults))}{others} "
        "Clear this task to ask again.",
        retryable=any(error.retryable for error in faults),
    )


class AsyncPlatform(Protocol):
    """What a cancel needs of a hook in an event loop."""

    async def aget_batch(self, batch_id: str) -> Batch:
        """Read a batch."""

    async def acancel_batch(self, batch_id: str) -> Batch:
        """Ask for a cancel."""


async def acancel_batch(hook: AsyncPlatform, batch_id: str, seen: Batch | None = None) -> Batch:
    """Cancel one batch, which may have been `seen` just now, from an event loop in the same way, each call once."""
    batch = seen or await _read(hook, batch_id)
    if not batch.is_cancellable:
        return batch
    try:
        async with CANCELS.turn():
            return await in_time(hook.acancel_batch(batch_id), f"Batch {batch_id} may be cancelling.")
    except KimiApiError as error:
        if error.status_code != 400:
            raise
    return await _read(hook, batch_id)


async def _read(hook: AsyncPlatform, batch_id: str) -> Batch:
    async with CANCELS.turn():
        return await in_time(hook.aget_batch(batch_id))


def is_given_up(state: str | None, try_number: int | None, newest_try: int | None) -> bool:
    """Whether nobody waits for the task's batches any more.

    :param state: State of the task instance now; None where it is not known.
    :param try_number: The try that waited.
    :param newest_try: The try that waits, or waited last, as far as is known.
    """
    return state in GIVEN_UP_STATES and newest_try == try_number


async def acancel_batches(
    cancel: Callable[[str], Awaitable[Batch]],
    batch_ids: Sequence[str],
    log: Log,
    reason: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Cancel every batch of a killed task, whatever becomes of the others; again after a fault that passes."""
    left = list(batch_ids)
    for pause in (0.0, *KILL_PAUSES_SECONDS):
        await sleep(pause)
        again = await asyncio.gather(*(_has_to_be_repeated(cancel, batch_id, log, reason) for batch_id in left))
        left = list(compress(left, again))
        if not left:
            return


async def _has_to_be_repeated(cancel: Callable[[str], Awaitable[Batch]], batch_id: str, log: Log, reason: str) -> bool:
    try:
        batch = await cancel(batch_id)
    except KimiError as error:
        log.warning("Batch %s was not cancelled (%s): %s", batch_id, reason, error)
        return error.retryable
    log.info("Batch %s is %s: %s.", batch_id, batch.status, reason)
    return False


async def to_the_end(work: Coroutine[Any, Any, None], log: Log, seconds: float = KILL_SECONDS) -> None:
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
