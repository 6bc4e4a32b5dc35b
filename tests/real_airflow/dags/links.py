"""Tasks whose links are looked at: one that waits, one that fails, and a mapped one."""

import pendulum
from airflow.sdk import DAG

from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator

with DAG(
    dag_id="links",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
    default_args={"kimi_conn_id": "{{ params.conn }}"},
):
    KimiBatchOperator(
        task_id="label", input=[{"text": "Nobody's business"}], prompt="{text}", output="{{ params.output }}"
    )
    KimiBatchResultsOperator(task_id="fails", batch_id="batch-unknown", output="{{ params.output }}/fails")
    KimiCreateBatchOperator.partial(task_id="mapped", prompt="{text}").expand(
        input=[[{"text": "Nobody's business"}], [{"text": "Nobody's business"}, {"text": "either"}]]
    )
