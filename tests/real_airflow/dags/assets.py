"""A job whose alias becomes the file that it lands, wherever that lies."""

import pendulum
from airflow.sdk import DAG, Asset, AssetAlias

from airflow_provider_kimi.operators.batch import KimiBatchOperator

with DAG(
    dag_id="assets",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"conn": "", "output": ""},
):
    KimiBatchOperator(
        task_id="label",
        input=["很好，喜欢", "太差，失望"],
        output="{{ params.output }}",
        outlets=[Asset("all_labels"), AssetAlias("label_files")],
        poke_interval=1,
        kimi_conn_id="{{ params.conn }}",
    )
