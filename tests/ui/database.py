"""Rows of Airflow's database, as tasks leave them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.tags import TaskIdentity

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
    task: TaskIdentity,
    xcoms: Mapping[str, Any] | None = None,
    *,
    operator: str = "KimiBatchOperator",
    operator_name: str | None = None,
    state: str | None = "deferred",
    try_number: int = 1,
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Store a task instance with its rendered fields and its XComs, and its run and DAG where they are missing."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert

    run = store_run(task.dag_id, task.run_id)
    place = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    stands = {
        "operator": operator,
        "custom_operator_name": operator_name,
        "state": state,
        "try_number": try_number,
        "pool": "default_pool",
    }
    with create_session() as session:
        session.execute(TaskInstance.__table__.insert(), [place | stands])
        if fields is not None:
            session.execute(insert(RenderedTaskInstanceFields).values(**place, rendered_fields=dict(fields)))
        for key, value in (xcoms or {}).items():
            session.execute(XComModel.__table__.insert(), [place | {"dag_run_id": run, "key": key, "value": value}])


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
                dag_id=dag_id, bundle_name="dags", owners=owners, fileloc="dag.py", is_stale=False
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
