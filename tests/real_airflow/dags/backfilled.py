"""A day of reviews in each run, labelled by the one task; in every fifth run a row is asked twice."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, task

with DAG(
    dag_id="backfilled",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 10, 1, tz="UTC"),
    catchup=False,
    max_active_runs=30,
    params={"conn": "", "output": ""},
):

    @task.kimi_batch(
        output="{{ params.output }}/{{ ds }}",
        prompt="Is this review positive or negative? {text}",
        key_column="id",
        max_rounds=2,
        kimi_conn_id="{{ params.conn }}",
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
    def label(ds: str, **context: Any) -> Iterator[dict[str, str]]:
        """Yield the reviews of a day."""
        yield from ({"id": f"{ds}_{number}", "text": f"review {number} of {ds}"} for number in range(5))

    label()  # type: ignore[call-arg, misc]
