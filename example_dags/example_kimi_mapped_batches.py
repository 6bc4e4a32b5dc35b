"""
One table, several batches, and a mapped task for each of them in the grid.

``create`` cuts the table into batches of 20 rows (without ``max_rows_per_batch``: of 100 MB) and returns one id for
each batch. ``wait`` and ``results`` are mapped over the ids, so that each batch has a log, a state and a directory of
its own. Without ``expand`` the same tasks wait for all batches and merge them into one result.
"""

from pathlib import Path
from tempfile import gettempdir

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

REVIEWS = str(Path(__file__).parent / "data" / "reviews.csv")

with DAG(
    dag_id="example_kimi_mapped_batches",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"input": REVIEWS, "output": f"{gettempdir()}/example_kimi_mapped_batches"},
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
        max_rows_per_batch=20,
    )
    wait = KimiBatchSensor.partial(task_id="wait").expand(batch_id=create.output)
    KimiBatchResultsOperator.partial(
        task_id="results",
        output="{{ params.output }}/{{ run_id }}/{{ ti.map_index }}",
        input="{{ params.input }}",
    ).expand(batch_id=wait.output)
