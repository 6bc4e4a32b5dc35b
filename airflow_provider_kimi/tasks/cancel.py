"""How the cancel operator ends batches early."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.ids import read_batch_ids
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.links import show_links
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.wait import wait_here

if TYPE_CHECKING:
    from airflow_provider_kimi.operators.cancel import KimiCancelBatchOperator


def cancel_and_wait(operator: KimiCancelBatchOperator, context: Context) -> dict[str, str]:
    """Ask for the cancels, then wait, in the triggerer if the operator says so; return the status of each batch."""
    with airflow_errors(operator):
        hook = KimiHook(operator.kimi_conn_id)
        batch_ids = read_batch_ids(operator.batch_id)
        show_links(context, hook, batch_ids)
        batches = cancel_batches(Calls(hook, operator.log), batch_ids)
        if not operator.wait_for_termination or all(batch.is_terminal for batch in batches):
            return {batch.id: batch.status for batch in batches}
        ids = tuple(batch.id for batch in batches)
        deadline = time.time() + operator.timeout
        watch = Watch(ids, operator.poll_interval, deadline, kimi_conn_id=operator.kimi_conn_id)
        if not operator.deferrable:
            return _statuses(wait_here(hook, watch, operator.log))
    operator.defer(trigger=KimiBatchTrigger.of(watch), method_name="execute_complete")
    raise AssertionError("Airflow goes on behind a deferral")


def cancelled_statuses(operator: KimiCancelBatchOperator, event: dict[str, Any]) -> dict[str, str]:
    """Read the status of each batch from the event that resumed the task."""
    with airflow_errors(operator):
        return _statuses(BatchEvent.from_dict(event))


def _statuses(event: BatchEvent) -> dict[str, str]:
    if event.outcome != "ended":
        raise KimiBatchError(event.message)
    return {batch_id: end.status for batch_id, end in event.batches.items()}
