"""
A DAG that starts when a batch ends that somebody else created: another system, a script, or a person on the console.

The watcher polls the account of ``kimi_default`` once a minute and reports the batches that carry the metadata
``team: reviews``. Needs Airflow 3.
"""

from tempfile import gettempdir
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.triggers.ended_batches import KimiBatchEndedTrigger

ended = Asset(
    "kimi_batches_of_team_reviews",
    watchers=[AssetWatcher(name="ended", trigger=KimiBatchEndedTrigger(metadata={"team": "reviews"}))],
)

with DAG(
    dag_id="example_kimi_ended_batches",
    schedule=[ended],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"output": f"{gettempdir()}/example_kimi_ended_batches"},
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task
    def batch_ids(triggering_asset_events: Any = None) -> list[str]:
        """Collect the batches of all events that started this run; Airflow may join several."""
        events = triggering_asset_events[ended]
        ids = (batch["batch_id"] for event in events for batch in event.extra["payload"]["batches"])
        return list(dict.fromkeys(ids))

    KimiBatchResultsOperator.partial(
        task_id="results", output="{{ params.output }}/{{ run_id }}/{{ ti.map_index }}"
    ).expand(batch_id=batch_ids())
