"""A task that shares a budget with its other runs."""

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchOperator

START = pendulum.datetime(2026, 1, 1, tz="UTC")

with DAG(dag_id="budgeted", schedule=None, start_date=START, params={"conn": "", "output": ""}, max_active_runs=32):
    KimiBatchOperator(
        task_id="label",
        input=[{"text": f"review {n}"} for n in range(40)],
        output="{{ params.output }}/{{ run_id }}",
        prompt="{text}",
        thinking="disabled",
        request_params={"max_completion_tokens": 100},
        poke_interval=1,
        budget="shared",
        cancel_on_kill=False,
        kimi_conn_id="{{ params.conn }}",
    )
