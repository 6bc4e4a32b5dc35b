"""
A data set of many partitions, one mapped task for each.

``partitions`` lists the directories of a day or a shop, and the mapped task labels each as a job of its own: with its
own batches, log, state, retries and results. A partition that fails is cleared alone.
"""

from pathlib import Path
from tempfile import gettempdir

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_kimi.operators.batch import KimiBatchOperator

with DAG(
    dag_id="example_kimi_partitions",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "input": str(Path(__file__).parent / "data" / "by_day"),
        "output": f"{gettempdir()}/example_kimi_partitions",
    },
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task
    def partitions(params: dict[str, str] | None = None) -> list[dict[str, str]]:
        """List the partitions, each with a directory for its result."""
        chosen = params or {}
        found = sorted(path.name for path in ObjectStoragePath(chosen["input"]).iterdir() if path.is_dir())
        return [{"input": f"{chosen['input']}/{name}", "output": f"{chosen['output']}/{name}"} for name in found]

    KimiBatchOperator.partial(
        task_id="label",
        key_column="review_id",
        prompt="Is this review positive or negative? Answer with one word. {text}",
        output_schema=["positive", "negative"],
        thinking="disabled",
        request_params={"max_completion_tokens": 64},
        max_rounds=2,
    ).expand_kwargs(partitions())
