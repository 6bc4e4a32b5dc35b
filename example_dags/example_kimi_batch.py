"""
Create a batch from a table, wait for it without a worker slot, land its results, and count the labels.

Needs a connection ``kimi_default`` of the type Kimi. Every worker must reach ``input`` and ``output``: with more than
one machine, give URIs such as ``s3://aws_default@bucket/path`` when you trigger the DAG.
"""

import json
from collections import Counter
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

REVIEWS = str(Path(__file__).parent / "data" / "reviews.csv")

with DAG(
    dag_id="example_kimi_batch",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={"input": REVIEWS, "output": f"{gettempdir()}/example_kimi_batch"},
    tags=["example", "kimi"],
    doc_md=__doc__,
):
    create = KimiCreateBatchOperator(
        task_id="create",
        input="{{ params.input }}",
        key_column="review_id",
        system_prompt="You label product reviews. Answer with exactly one of: positive, negative",
        prompt="{text}",
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
    )
    wait = KimiBatchSensor(task_id="wait", batch_id=create.output)
    results = KimiBatchResultsOperator(
        task_id="results",
        batch_id=wait.output,
        output="{{ params.output }}/{{ run_id }}",
        input="{{ params.input }}",
    )

    @task
    def count_labels(manifest: dict[str, Any]) -> dict[str, int]:
        """Read the rows like any file, and count their labels."""
        with ObjectStoragePath(manifest["results_file"]).open("rb") as rows:
            return dict(Counter(json.loads(row)["content"] for row in rows))

    create >> wait >> results
    count_labels(results.output)  # type: ignore[arg-type]
