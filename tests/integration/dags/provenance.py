"""Two DAGs, of which one waits in the triggerer; run as a script, it runs both and writes down their asset events."""

import json
import os
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetAlias

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor

TABLE = os.environ["TABLE"]

#: An alias becomes the file that it stands for.
OUTLETS = [Asset("labels"), AssetAlias("label_files")]


def label(dag_id: str, deferrable: bool) -> DAG:
    with DAG(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
        create = KimiCreateBatchOperator(task_id="create", input=TABLE, prompt="{text}", key_column="id")
        wait = KimiBatchSensor(task_id="wait", batch_id=create.output, deferrable=deferrable, poke_interval=0.2)
        KimiBatchResultsOperator(
            task_id="results",
            batch_id=wait.output,
            output=f"{os.environ['OUTPUT']}/{dag_id}",
            input=TABLE,
            outlets=OUTLETS,
        )
    return dag


DEFERRED = label("deferred", deferrable=True)
SYNC = label("sync", deferrable=False)


def asset_events() -> list[dict[str, Any]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).order_by(AssetEvent.id)).all()
        return [{"asset": event.asset.uri, "dag": event.source_dag_id, "extra": event.extra} for event in events]


if __name__ == "__main__":
    for dag in (DEFERRED, SYNC):
        run = dag.test()
        assert run.state == "success", run.state
    Path(os.environ["OUTPUT"], "asset_events.json").write_text(json.dumps(asset_events()))
