"""Rows of Airflow's database, as tasks leave them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_kimi.records.manifest import Manifest

SAMPLE = json.loads((Path(__file__).parents[1] / "records/samples/manifest.jsonl").read_text("utf-8").splitlines()[0])


def manifest(*batch_ids: str, amount: float | None = 2.5, days_ago: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A manifest as a task returns it, of batches that ended some days ago."""
    cost = {"currency": "CNY", "amount": amount, "price_list_date": "2026-09-01"}
    ended = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    read = Manifest.of_value(SAMPLE | {"batch_ids": list(batch_ids), "cost": cost, "completed_at": ended} | changes)
    assert read is not None
    return read.to_dict()


def landing(value: Any) -> dict[str, Any]:
    """The XComs of a task that has landed a result."""
    return {"return_value": value, "plain_locations": {}}


def store_task(
    xcoms: dict[str, Any], dag_id: str = "reviews", run_id: str = "manual__1", task_id: str = "label"
) -> None:
    """Store a task instance and its XComs, and its run and DAG where they are missing."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    run = store_run(dag_id, run_id)
    names = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1}
    with create_session() as session:
        session.execute(
            TaskInstance.__table__.insert(),
            [names | {"pool": "default_pool", "try_number": 1, "operator": "KimiBatchOperator"}],
        )
        for key, value in xcoms.items():
            session.execute(XComModel.__table__.insert(), [names | {"dag_run_id": run, "key": key, "value": value}])


def store_run(dag_id: str, run_id: str, triggered_by: str | None = None, owners: str = "airflow") -> int:
    """Store a run, and its DAG where it is missing; return the key of the run."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    found = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    with create_session() as session:
        if session.get(DagBundleModel, "dags") is None:
            session.execute(DagBundleModel.__table__.insert(), [{"name": "dags"}])
        if session.get(DagModel, dag_id) is None:
            dag = DagModel(  # type: ignore[no-untyped-call]
                dag_id=dag_id, bundle_name="dags", owners=owners, fileloc="dag.py"
            )
            dag.max_active_tasks, dag.has_task_concurrency_limits, dag.timetable_summary = 16, False, ""
            session.add(dag)
            session.flush()
        if session.scalar(found) is None:
            run = {"dag_id": dag_id, "run_id": run_id, "run_type": "manual", "triggering_user_name": triggered_by}
            session.execute(DagRun.__table__.insert(), [run | {"run_after": datetime.now(UTC)}])
        key = session.scalar(found)
    assert key is not None
    return key
