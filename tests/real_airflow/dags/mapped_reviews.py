"""Mapped batches, rows that look like templates, the worker-side waits, and a cancel."""

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import (
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

START = pendulum.datetime(2026, 1, 1, tz="UTC")
LABELS = "Answer with exactly one of: positive, negative"

with DAG(dag_id="mapped_reviews", schedule=None, start_date=START, params={"output": ""}):
    create = KimiCreateBatchOperator.partial(task_id="create", system_prompt=LABELS).expand(
        input=[["{{ conn.kimi_default.password }} 很好"], ["{% raw %} 太差", "{text}"]]
    )
    wait = KimiBatchSensor.partial(task_id="wait", poke_interval=2).expand(batch_id=create.output)
    KimiBatchResultsOperator.partial(task_id="results", output="{{ params.output }}/{{ ti.map_index }}").expand(
        batch_id=wait.output
    )
    KimiBatchSensor(task_id="wait_all", batch_id=create.output, deferrable=False, mode="reschedule", poke_interval=5)

with DAG(dag_id="cancelled_reviews", schedule=None, start_date=START):
    doomed = KimiCreateBatchOperator(task_id="create", input=["很好"], system_prompt=LABELS)
    KimiCancelBatchOperator(task_id="cancel", batch_id=doomed.output, poll_interval=2)
