"""What Airflow 3.4 adds: a task loop, and a retry policy that uses up no retry. Older versions find no DAG here."""

from datetime import timedelta
from typing import Any

import airflow.sdk
import pendulum
from airflow.sdk import DAG, task_group

from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiCreateBatchOperator

if hasattr(airflow.sdk, "LoopDecision"):
    from airflow_provider_kimi.retry_policy import KimiRetryPolicy

    STARTS = pendulum.datetime(2026, 1, 1, tz="UTC")
    PARAMS = {"conn": "", "output": ""}

    with DAG("loop", schedule=None, start_date=STARTS, params=PARAMS):

        @task_group
        def twice() -> None:
            """Ask the same row once in each iteration."""
            KimiBatchOperator(
                task_id="label",
                input=[{"text": "good"}],
                prompt="Label {text}",
                output="{{ params.output }}/{{ loop.index }}",
                poke_interval=1,
                kimi_conn_id="{{ params.conn }}",
            )

        body: Any = twice
        body.loop(max_iterations=2)

    with DAG("rescheduled", schedule=None, start_date=STARTS, params=PARAMS):
        KimiCreateBatchOperator(
            task_id="create",
            input=[{"text": "good"}],
            prompt="Label {text}",
            kimi_conn_id="{{ params.conn }}",
            retries=1,
            retry_policy=KimiRetryPolicy(soon=timedelta(seconds=1), later=timedelta(seconds=1)),
        )
