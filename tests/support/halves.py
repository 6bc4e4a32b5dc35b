"""Attempts that halve shards, as those do that the platform has no room for."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.job import Job, Memory
from airflow_provider_kimi.submission.later import pending_of
from airflow_provider_kimi.submission.submit import checked_job, make_batches
from airflow_provider_kimi.tasks.whole_job import WholeJobTask
from tests.support.logs import LogRecord
from tests.support.requests import no_pause
from tests.support.tasks import TaskInstanceRecord


def cut(job: Job, *labels: str) -> Job:
    """The job with the halves of these shards, and parts of shards, in their place."""
    for label in labels:
        (name,) = (job.name(shard) for shard in job.shards if job.label(shard) == label)
        job = replace(job, cut=job.cut | {name})
    return job


def submit_halved(
    calls: Calls, wanted: Order, attempt: Attempt, *labels: str, memory: Memory | None = None
) -> list[str]:
    """Create the batches of a job in which these shards, and parts of shards, were halved in this order.

    :return: Their ids, in the order of the input.
    """
    with checked_job(calls, wanted, attempt, memory) as (job, workshop):
        made = make_batches(cut(job, *labels), workshop)
        batches, _ = pending_of(made.in_order(), made)
        return [batch.id for batch in batches]


def halved(
    hook: KimiHook,
    wanted: Order,
    attempt: Attempt,
    *labels: str,
    sleep: Callable[[float], None] = no_pause,
    memory: Memory | None = None,
) -> list[str]:
    """Do so without an operator."""
    return submit_halved(Calls(hook, LogRecord(), sleep), wanted, attempt, *labels, memory=memory)


def halved_by(task: KimiBatchOperator, *labels: str, number: int = 1) -> list[str]:
    """Do so as a try of a task."""
    running = copy.copy(task)
    context: Any = {"ti": TaskInstanceRecord(task_id=task.task_id, try_number=number)}
    running.render_template_fields(context)
    begun = WholeJobTask(running, context)
    with begun.creating() as calls:
        return submit_halved(calls, begun.order(calls), begun.attempt(), *labels)
