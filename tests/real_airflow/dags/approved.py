"""A job that a person has to approve; in one DAG within ten seconds, in one in its first try only."""

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchOperator

FIRST_TRY = "{{ 0 if ti.try_number == 1 else None }}"

for dag_id, seconds, over in (
    ("approved", None, 0),
    ("approved_in_time", 10, 0),
    ("approved_at_first", None, FIRST_TRY),
):
    with DAG(
        dag_id=dag_id,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        params={"conn": "", "output": ""},
    ):
        KimiBatchOperator(
            task_id="label",
            input=["很好，喜欢 ``` <b>bold</b>", "太差，失望", "c"],
            output="{{ params.output }}",
            kimi_conn_id="{{ params.conn }}",
            approve_over=over,
            approval_timeout=seconds,
            poke_interval=1,
        )
