"""Abandon: cancel what a killed task was waiting for, in the short time that Airflow leaves for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.log import Log
from airflow_provider_kimi.exceptions import KimiError

#: States that a user gives to a waiting task to be rid of it. After a clear it has none of them.
GIVEN_UP_STATES = frozenset({"failed", "success", "skipped"})

#: Pauses before a cancel that met a passing fault is asked for again.
PAUSES_SECONDS = (2.0, 4.0, 8.0)

#: Longest time that the cancels may take altogether.
MAX_SECONDS = 60.0


def is_given_up(state: str | None, try_number: int | None, newest_try: int | None) -> bool:
    """Whether nobody waits for the task's batches any more.

    :param state: State of the task instance now; None where it is not known.
    :param try_number: The try that waited.
    :param newest_try: The try that waits, or waited last, as far as is known.
    """
    return state in GIVEN_UP_STATES and newest_try == try_number


async def cancel_with_retries(
    cancel: Callable[[str], Awaitable[Batch]],
    batch_ids: Sequence[str],
    log: Log,
    reason: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Ask for the cancel of every batch, whatever becomes of the others; again after a fault that passes."""
    left = list(batch_ids)
    for pause in (0.0, *PAUSES_SECONDS):
        await sleep(pause)
        again = await asyncio.gather(*(_is_to_be_asked_again(cancel, batch_id, log, reason) for batch_id in left))
        left = list(compress(left, again))
        if not left:
            return


async def _is_to_be_asked_again(
    cancel: Callable[[str], Awaitable[Batch]], batch_id: str, log: Log, reason: str
) -> bool:
    try:
        batch = await cancel(batch_id)
    except KimiError as error:
        log.warning("Batch %s was not cancelled (%s): %s", batch_id, reason, error)
        return error.retryable
    log.info("Batch %s is %s: %s.", batch_id, batch.status, reason)
    return False


async def to_the_end(work: Coroutine[Any, Any, None], log: Log, seconds: float = MAX_SECONDS) -> None:
    """Run to its end what must not be cut off, and say so where it does not get there.

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
