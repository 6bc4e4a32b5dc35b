"""Which batches a wait cancels, and what becomes of those that run while their task fails."""

import random
from collections.abc import Sequence

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import acancel_batch, cancel_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.waiting.poll import MAX_FAULTS_OF_A_SWEEP, Platform
from airflow_provider_kimi.waiting.wait_log import WaitLog


async def ask_for_cancels(platform: Platform, batches: Sequence[Batch], reason: str, wait_log: WaitLog) -> None:
    """Ask for cancels; one that fails is asked for again after a later poll, and after two the rest is left for it.

    :param batches: As they were just read.
    """
    if batches:
        ids = ", ".join(batch.id for batch in batches)
        wait_log.warn(f"{reason} Cancelling {ids}.", subject=f"cancels of {ids}")
    faults = 0
    for batch in random.sample(batches, len(batches)):
        try:
            await acancel_batch(platform, batch.id, batch)
        except KimiError as error:
            wait_log.warn(str(error), subject=f"cancel of {batch.id}")
            faults += error.retryable
        if faults == MAX_FAULTS_OF_A_SWEEP:
            return


def leave_running(
    calls: Calls, event: BatchEvent, batch_ids: Sequence[str], *, cancel: bool, is_final: bool = True
) -> str:
    """Decide about batches that run while their task fails, and say what becomes of them.

    :param cancel: Whether they are cancelled; only batches that were read are.
    :param is_final: Whether the task fails for good; else another try waits on, and nothing is cancelled.
    """
    running = [batch_id for batch_id, end in event.batches.items() if not end.is_terminal]
    unread = [batch_id for batch_id in batch_ids if batch_id not in event.batches]
    sentences = []
    if running and cancel and is_final:
        try:
            ended = cancel_batches(calls, running)
        except KimiError as error:
            return str(error)
        stand = "; ".join(f"{batch.id} is {batch.status}" for batch in ended)
        sentences.append(f"Cancelled, as on_final_failure asks: {stand}.")
    elif running and not is_final:
        sentences.append(f"The next try waits for what still runs and is billed: {', '.join(running)}.")
    elif running:
        sentences.append(f"Clear this task to wait for what still runs and is billed: {', '.join(running)}.")
    if unread:
        sentences.append(f"Not read, so perhaps running and billed: {', '.join(unread)}.")
    return " ".join(sentences)
