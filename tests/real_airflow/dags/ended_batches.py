"""A DAG that starts when a batch ends which no DAG has created."""

from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_kimi.triggers.ended_batches import KimiBatchEndedTrigger

ended = Asset(
    "ended_batches",
    watchers=[
        AssetWatcher(
            name="ended", trigger=KimiBatchEndedTrigger("kimi_outside", metadata={"team": "reviews"}, poll_interval=1)
        )
    ],
)

with DAG(dag_id="ended_batches", schedule=[ended], start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):

    @task
    def told(triggering_asset_events: Any = None) -> list[str]:
        """Return the batches of the events that started this run."""
        events = triggering_asset_events[ended]
        return [batch["batch_id"] for event in events for batch in event.extra["payload"]["batches"]]

    told()
