"""Twenty inputs in a bucket, labelled side by side."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

START = pendulum.datetime(2026, 1, 1, tz="UTC")
SHARDS = 20
BUCKET = "s3://shards@bucket-shards"
INPUTS = [f"{BUCKET}/in/{number}.jsonl" for number in range(SHARDS)]
ASKED: dict[str, Any] = {"prompt": "Repeat: {text}", "key_column": "id"}
PATIENT: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=1)}

with DAG("chain", schedule=None, start_date=START, default_args=PATIENT):
    create = KimiCreateBatchOperator.partial(task_id="create", **ASKED).expand(input=INPUTS)
    wait = KimiBatchSensor.partial(task_id="wait", poke_interval=2).expand(batch_id=create.output)
    KimiBatchResultsOperator.partial(task_id="results", output=f"{BUCKET}/chain/{{{{ ti.map_index }}}}").expand(
        batch_id=wait.output
    )
