"""Runs the daily DAGs of a folder for one day, and writes down how each ended and what it reported."""

import json
import sys
from pathlib import Path
from typing import Any

import pendulum
from airflow.dag_processing.dagbag import DagBag

DAY = pendulum.datetime(2026, 11, 23)


def main(folder: str, report: str) -> None:
    """Run every DAG that has a schedule of its own."""
    bag = DagBag(folder)
    states = {"import errors": str(bag.import_errors)} if bag.import_errors else {}
    for dag_id, dag in sorted(bag.dags.items()):
        if str(dag.schedule) == "@daily":
            states[dag_id] = str(dag.test(logical_date=DAY).state)
    Path(report).write_text(json.dumps({"states": states, "asset_events": asset_events()}))


def asset_events() -> list[dict[str, Any]]:
    """The events of assets, as a DAG gets them that starts by one."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    fields = ("source_dag_id", "source_run_id", "extra")
    with create_session() as session:
        return [{name: getattr(event, name) for name in fields} for event in session.scalars(select(AssetEvent))]


if __name__ == "__main__":
    main(*sys.argv[1:])
