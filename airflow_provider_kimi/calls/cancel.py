"""Cancel: ask where it can help; a batch that ended first is a result, not an error."""

import time
from collections.abc import Callable, Sequence

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.at_once import AtOnce
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.log import Log
from airflow_provider_kimi.calls.patience import read_patiently
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.tags import Attempt, is_of_instance
from airflow_provider_kimi.waiting.poll import in_time

#: Cancels of all waits of a triggerer: many may have the same deadline.
CANCELS = AtOnce(3)


def request_cancels(
    hook: KimiHook, batch_ids: Sequence[str], log: Log, sleep: Callable[[float], None] = time.sleep
) -> list[Batch]:
    """Ask for the cancel of every batch, whatever becomes of the others.

    :raises KimiError: One could not be asked; the message says which, and how the others stand.
    """
    batches: list[Batch] = []
    faults: dict[str, KimiError] = {}
    for batch_id in batch_ids:
        try:
            batches.append(request_cancel(hook, batch_id, log, sleep))
        except KimiError as error:
            faults[batch_id] = error
    if not faults:
        return batches
    told = " ".join(str(error) for error in faults.values())
    others = f" The others: {', '.join(f'{batch.id} is {batch.status}' for batch in batches)}." if batches else ""
    raise KimiBatchError(
        f"{len(faults)} of {len(batch_ids)} batches could not be cancelled. {told}{others} "
        "Clear this task to ask again.",
        retryable=any(error.retryable for error in faults.values()),
    )


def cancel_work_of(hook: KimiHook, attempt: Attempt, log: Log) -> list[Batch]:
    """Ask for the cancel of everything that a task instance has submitted in its run."""

    def runs_for_it(batch: Batch) -> bool:
        return batch.is_cancellable and is_of_instance(batch.metadata or {}, attempt.task)

    found = find_batches(hook, runs_for_it, log, since=attempt.run_after).batches
    return request_cancels(hook, [batch.id for batch in found], log)


def leave_running(hook: KimiHook, event: BatchEvent, batch_ids: Sequence[str], *, cancel: bool, log: Log) -> str:
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
        ended = request_cancels(hook, running, log)
    except KimiError as error:
        return str(error)
    stand = ", ".join(f"{batch.id} is {batch.status}" for batch in ended)
    return f"Cancelled, as on_final_failure asks: {stand}. {told}".strip()


def request_cancel(hook: KimiHook, batch_id: str, log: Log, sleep: Callable[[float], None] = time.sleep) -> Batch:
    """Ask for a cancel if the batch's status allows one, and return the batch as it then stands.

    While results are assembled (`finalizing`) nothing is asked: the rows are done and billed by then, and a cancel
    was seen to lose them.
    """
    batch = read_patiently(lambda: hook.get_batch(batch_id), log, sleep)
    if not batch.is_cancellable:
        log.info("Batch %s is %s: there is nothing to cancel.", batch_id, batch.status)
        return batch
    try:
        # Asking twice does no harm, so a cancel may be repeated like a read.
        return read_patiently(lambda: hook.cancel_batch(batch_id), log, sleep)
    except KimiApiError as error:
        if error.status_code != 400:
            raise
        log.info("The cancel of batch %s came too late: %s", batch_id, error)
        return read_patiently(lambda: hook.get_batch(batch_id), log, sleep)


async def request_cancel_in_time(hook: KimiHook, batch_id: str) -> Batch:
    """Ask for a cancel if the batch's status allows one, once, for waits in an event loop."""
    async with CANCELS.turn():
        batch = await in_time(hook.aget_batch(batch_id))
    return await cancel_in_time(hook, batch_id) if batch.is_cancellable else batch


async def cancel_in_time(hook: KimiHook, batch_id: str) -> Batch:
    """Cancel a batch that was just read, once, for waits in an event loop."""
    async with CANCELS.turn():
        return await in_time(hook.acancel_batch(batch_id), f"Batch {batch_id} may be cancelling.")
