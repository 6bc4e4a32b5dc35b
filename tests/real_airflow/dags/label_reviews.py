"""The chain of the example, polling every second through a connection whose platform misbehaves."""

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

with DAG(
    dag_id="label_reviews",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"input": "", "output": ""},
    default_args={"kimi_conn_id": "kimi_faulty", "retries": 0},
):
    create = KimiCreateBatchOperator(
        task_id="create",
        input="{{ params.input }}",
        key_column="review_id",
        system_prompt="Answer with exactly one of: positive, negative",
        prompt="{text}",
    )
    wait = KimiBatchSensor(task_id="wait", batch_id=create.output, poke_interval=1)
    KimiBatchResultsOperator(
        task_id="results",
        batch_id=wait.output,
        output="{{ params.output }}",
        input="{{ params.input }}",
    )
