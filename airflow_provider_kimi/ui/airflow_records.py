"""What Airflow's own database holds of a task instance: its state, its rendered fields and its XComs."""

from collections.abc import Collection
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import Text, cast, func, select

from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.ui.task_view import MANIFEST_KEYS, XCOM_KEYS, TaskRecord

#: Most characters of an XCom that is read. A manifest has at most 8 KB, and a list of a thousand ids 40.
MOST_CHARS = 200_000

#: Most XComs of a run that are looked at for the result of a batch.
MOST_LANDINGS = 20


def read_task(task: TaskIdentity) -> TaskRecord | None:
    """Read a task instance as its present try stands; None if there is none. Blocks."""
    names = [task.dag_id, task.run_id, task.task_id]
    if storable(names) != names:  # PostgreSQL refuses to be asked for them
        return None
    with create_session(scoped=False) as session:
        found = session.execute(
            select(
                TaskInstance.operator,
                TaskInstance.state,
                TaskInstance.try_number,
                TaskInstance.custom_operator_name,
            ).where(*_of(TaskInstance, task))
        ).one_or_none()
        if found is None:
            return None
        fields = session.scalar(
            select(RenderedTaskInstanceFields.rendered_fields).where(*_of(RenderedTaskInstanceFields, task))
        )
        xcoms = session.execute(
            select(XComModel.key, XComModel.value).where(
                *_of(XComModel, task),
                XComModel.key.in_(XCOM_KEYS),
                func.length(cast(XComModel.value, Text)) <= MOST_CHARS,
            )
        )
        operator, state, try_number, name = found
        return TaskRecord(operator, state, try_number, fields or {}, {row.key: row.value for row in xcoms}, name)


def read_landings(dag_id: str, run_id: str, batch_id: str) -> list[tuple[TaskIdentity, object]]:
    """Read the XComs of a run that may be manifests and hold the id of a batch, the newest first. Blocks."""
    if storable([dag_id, run_id, batch_id]) != [dag_id, run_id, batch_id]:
        return []
    text = cast(XComModel.value, Text)
    statement = (
        select(XComModel.task_id, XComModel.map_index, XComModel.value)
        .where(
            XComModel.dag_id == dag_id,
            XComModel.run_id == run_id,
            XComModel.key.in_(MANIFEST_KEYS),
            func.length(text) <= MOST_CHARS,
            text.contains(batch_id, autoescape=True),
        )
        .order_by(XComModel.timestamp.desc())
        .limit(MOST_LANDINGS)
    )
    with create_session(scoped=False) as session:
        found = session.execute(statement).all()
    return [(TaskIdentity(dag_id, run_id, task_id, map_index), value) for task_id, map_index, value in found]


def has_dag(dag_id: str) -> bool:
    """Whether Airflow has a DAG that can be started. Blocks."""
    with create_session(scoped=False) as session:
        found = session.scalar(select(DagModel.is_stale).where(DagModel.dag_id == dag_id))
    return found is False


def _of(table: Any, task: TaskIdentity) -> Collection[Any]:
    return (
        table.dag_id == task.dag_id,
        table.run_id == task.run_id,
        table.task_id == task.task_id,
        table.map_index == task.map_index,
    )
