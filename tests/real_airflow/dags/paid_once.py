"""The chain, retried at once, through a connection that the run names; in one DAG a kill cancels nothing."""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

CONN = "{{ params.conn }}"

for dag_id, cancel_on_kill in (("paid_once", True), ("kept_on_kill", False)):
    with DAG(
        dag_id=dag_id,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        params={"conn": "", "output": ""},
        default_args={"kimi_conn_id": CONN, "retries": 2, "retry_delay": timedelta(seconds=1)},
    ):
        create = KimiCreateBatchOperator(task_id="create", input=["a", "b", "c"], cancel_on_kill=cancel_on_kill)
        wait = KimiBatchSensor(task_id="wait", batch_id=create.output, poke_interval=1, cancel_on_kill=cancel_on_kill)
        KimiBatchResultsOperator(task_id="results", batch_id=wait.output, output="{{ params.output }}")

with DAG(
    dag_id="waits_in_worker",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
    default_args={"kimi_conn_id": CONN},
):
    create = KimiCreateBatchOperator(task_id="create", input=["a"])
    KimiBatchSensor(task_id="wait", batch_id=create.output, poke_interval=1, deferrable=False)

with DAG(
    dag_id="sweep",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
):
    KimiOrphanBatchesOperator(task_id="look", kimi_conn_id=CONN)
    KimiOrphanBatchesOperator(task_id="cancel", kimi_conn_id=CONN, dry_run=False)
    KimiOrphanBatchesOperator(
        task_id="harvest", kimi_conn_id=CONN, action="harvest", dry_run=False, output="{{ params.output }}"
    )
