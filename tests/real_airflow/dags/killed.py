"""Tasks that are killed: creates that take their time, a run that times out, and waits in a DAG that fails fast."""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

CONN = "{{ params.conn }}"
START = pendulum.datetime(2026, 1, 1, tz="UTC")
WAITS = {"conn": "", "output": "", "first": "", "second": ""}

with DAG(dag_id="six_creates", schedule=None, start_date=START, params={"conn": "", "output": ""}):
    KimiCreateBatchOperator(task_id="create", input=list("abcdef"), max_rows_per_batch=1, kimi_conn_id=CONN)

with DAG(dag_id="slow_creates", schedule=None, start_date=START, params={"conn": "", "output": ""}):
    KimiCreateBatchOperator(
        task_id="create",
        input=list("abcdef"),
        max_rows_per_batch=1,
        execution_timeout=timedelta(seconds=15),
        on_final_failure="cancel",
        kimi_conn_id=CONN,
    )

with DAG(dag_id="times_out", schedule=None, start_date=START, params=WAITS, dagrun_timeout=timedelta(seconds=15)):
    KimiBatchSensor(task_id="wait", batch_id="{{ params.first }}", poke_interval=1, kimi_conn_id=CONN)

with DAG(dag_id="fails_fast", schedule=None, start_date=START, params=WAITS, fail_fast=True):
    for name in ("first", "second"):
        KimiBatchSensor(task_id=name, batch_id=f"{{{{ params.{name} }}}}", poke_interval=1, kimi_conn_id=CONN)
