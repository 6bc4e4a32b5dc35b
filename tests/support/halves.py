"""A try of the one task that halves shards, as one does that the platform has no room for."""

import copy
from typing import Any

from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.submission.submit import checked_job, make_batches
from tests.support.tasks import TaskInstanceRecord


def halved(task: KimiBatchOperator, *labels: str, number: int = 1) -> list[str]:
    """Create the batches of a job in which these shards, and parts of shards, were halved in this order.

    :return: Their ids, in the order of the input.
    """
    running = copy.copy(task)
    context: Any = {"ti": TaskInstanceRecord(task_id=task.task_id, try_number=number)}
    running.render_template_fields(context)
    with running.creating(context) as calls:
        order, attempt = running.order(calls, context), running.attempt(context)
        with checked_job(calls, order, attempt) as (job, workshop):
            for label in labels:
                smaller = job.halved(label)
                assert smaller is not None
                job = smaller
            return [batch.id for batch in make_batches(job, workshop).in_order()]
