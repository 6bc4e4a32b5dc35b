"""Task instances as Airflow's database has them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from airflow_provider_kimi.records.tags import TaskIdentity

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def store_task(
    task: TaskIdentity,
    *,
    operator: str = "KimiBatchOperator",
    operator_name: str | None = None,
    state: str | None = "deferred",
    try_number: int = 1,
    fields: Mapping[str, Any] | None = None,
    xcoms: Mapping[str, Any] | None = None,
) -> None:
    """Store a task instance with its rendered fields and its XComs, of which text is stored as it is."""
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select

    place = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}
    of_run = {"dag_id": task.dag_id, "run_id": task.run_id}
    with create_session(scoped=False) as session:
        run = select(DagRun.id).filter_by(**of_run)
        if (run_id := session.scalar(run)) is None:
            begun = {"run_type": "manual", "run_after": NOW, "logical_date": None, "state": "running"}
            session.execute(insert(DagRun.__table__).values(**of_run, **begun))
            run_id = session.scalar(run)
        stands: dict[str, Any] = {"id": uuid4(), "operator": operator, "state": state, "try_number": try_number}
        stands["custom_operator_name"] = operator_name
        stands |= {"pool": "default_pool", "pool_slots": 1, "queue": "default", "priority_weight": 1}
        session.execute(insert(TaskInstance.__table__).values(**place, **stands))
        if fields is not None:
            session.execute(insert(RenderedTaskInstanceFields).values(**place, rendered_fields=dict(fields)))
        for key, value in (xcoms or {}).items():
            stored = {"dag_run_id": run_id, "key": key, "value": value, "timestamp": NOW}
            session.execute(insert(XComModel).values(**place, **stored))


def store_dag(dag_id: str) -> None:
    """Store a DAG that can be started."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        session.add(DagBundleModel(name="dags-folder"))
        session.flush()
        session.add(DagModel(dag_id=dag_id, bundle_name="dags-folder", is_stale=False))  # type: ignore[no-untyped-call]


def as_text(value: object) -> str:
    """An XCom as Airflow's models store it: the text of its JSON."""
    return json.dumps(value)
