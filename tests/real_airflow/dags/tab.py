"""A job of which some rows fail, beside a task of another operator."""

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_kimi.operators.batch import KimiBatchOperator

with DAG(
    dag_id="tab",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
):
    KimiBatchOperator(
        task_id="label",
        input=[{"id": str(number), "text": "很好"} for number in range(20)],
        prompt="Label {text}",
        key_column="id",
        output="{{ params.output }}",
        kimi_conn_id="{{ params.conn }}",
    )

    @task
    def other() -> int:
        return 1

    other()
