"""What Airflow's own database holds: task instances, landed results, and whose runs and DAGs are. Everything blocks."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import Text, and_, cast, func, select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_kimi.budgets.definition import BUDGET_PREFIX
from airflow_provider_kimi.budgets.ledger import ENTRY_PREFIX
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.jobs.job_run import MANIFEST_KEY
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.ui.result_view import manifest_of
from airflow_provider_kimi.ui.spend import Landed
from airflow_provider_kimi.ui.task_view import MANIFEST_KEYS, XCOM_KEYS, TaskRecord

#: Most characters of an XCom that is read. A manifest has at most 8 KB, and a list of a thousand ids 40.
MOST_CHARS = 200_000

#: Most XComs of a run that are looked at for the result of a batch.
MOST_LANDINGS = 20

#: The longest time over which spend is added up.
DAYS = 30

#: Most XComs that are read, and how many of them are held at a time.
MOST_XCOMS, _AT_ONCE = 10_000, 50

#: Most batches of all results together: sums over them must not keep the API server busy.
MOST_BATCHES = 100_000

#: What only tasks push that have landed a result.
_OF_LANDINGS = (MANIFEST_KEY, "plain_locations")


@dataclass(frozen=True)
class Recent:
    """The results of the last days.

    :param now: Unix seconds when they were read.
    :param is_whole: Whether these are all that there are.
    """

    results: tuple[Landed, ...]
    now: float
    is_whole: bool = True


@dataclass(frozen=True)
class Whose:
    """Who has to do with some batches.

    :param triggered: Names of users, by DAG and run.
    :param owners: Names of owners, by DAG.
    """

    triggered: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    owners: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def is_of(self, view: Mapping[str, Any], name: str) -> bool:
        """Whether a user has triggered the run of a batch, or owns its DAG."""
        dag_id, run_id = view["dag_id"], view["run_id"]
        return self.triggered.get((dag_id, run_id)) == name or name in self.owners.get(dag_id, ())


def read_task(task: TaskIdentity) -> TaskRecord | None:
    """Read a task instance as its present try stands; None if there is none."""
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
    """Read the XComs of a run that may be manifests and hold the id of a batch, the newest first."""
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
    """Whether Airflow has a DAG that can be started."""
    with create_session(scoped=False) as session:
        found = session.scalar(select(DagModel.is_stale).where(DagModel.dag_id == dag_id))
    return found is False


def read_recent(most: int = MOST_XCOMS, most_batches: int = MOST_BATCHES) -> Recent:
    """Read what the results of the last days have cost.

    :param most: How many XComs are read, the newest first.
    :param most_batches: How many batches these may name; the XCom that names more is the first that is left out.
    :raises KimiNoAnswerError: The database does not answer.
    """
    now = datetime.now(UTC)
    results: list[Landed] = []
    count = batches = 0
    with _answering("what results have cost"):
        for dag_id, value, landed_at in _xcoms(now - timedelta(days=DAYS), most):
            count += 1
            if (manifest := manifest_of(value)) is not None:
                batches += len(manifest.batch_ids)
                if batches > most_batches:
                    break
                results.append(Landed.of(manifest, dag_id, landed_at.timestamp()))
    return Recent(tuple(results), now.timestamp(), count < most and batches <= most_batches)


def read_whose(views: Collection[Mapping[str, Any]]) -> Whose:
    """Read who has to do with batches that are shown.

    :raises KimiNoAnswerError: The database does not answer.
    """
    dag_ids = {view["dag_id"] for view in views if view["dag_id"]}
    run_ids = {view["run_id"] for view in views if view["run_id"]}
    if not dag_ids:
        return Whose()
    runs = select(DagRun.dag_id, DagRun.run_id, DagRun.triggering_user_name).where(
        DagRun.dag_id.in_(dag_ids), DagRun.run_id.in_(run_ids)
    )
    dags = select(DagModel.dag_id, DagModel.owners).where(DagModel.dag_id.in_(dag_ids))
    with _answering("which batches are yours"), create_session(scoped=False) as session:
        triggered = {(dag_id, run_id): name for dag_id, run_id, name in session.execute(runs)}
        owners = {dag_id: _names(text) for dag_id, text in session.execute(dags)}
    return Whose(triggered, owners)


def _xcoms(since: datetime, most: int) -> Iterator[Any]:
    """Yield the DAG, value and time of XComs that may be manifests, the newest first."""
    xcom = XComModel
    ours = (
        select(xcom.dag_run_id, xcom.task_id, xcom.map_index)
        .where(xcom.key.in_(_OF_LANDINGS), xcom.timestamp >= since)
        .distinct()
        .subquery()
    )
    statement = (
        select(xcom.dag_id, xcom.value, xcom.timestamp)
        .join(
            ours,
            and_(
                xcom.dag_run_id == ours.c.dag_run_id,
                xcom.task_id == ours.c.task_id,
                xcom.map_index == ours.c.map_index,
            ),
        )
        .where(
            xcom.key.in_(MANIFEST_KEYS),
            xcom.timestamp >= since,
            func.length(cast(xcom.value, Text)) <= MOST_CHARS,
        )
        .order_by(xcom.timestamp.desc())
        .limit(most)
    )
    with create_session(scoped=False) as session:
        yield from session.execute(statement.execution_options(yield_per=_AT_ONCE))


@contextmanager
def _answering(unknown: str) -> Iterator[None]:
    """Say of a database that does not answer what is not known for that."""
    try:
        yield
    except SQLAlchemyError as error:
        raise KimiNoAnswerError(
            f"Airflow's database could not be read ({type(error).__name__}): {unknown} is not known now. Batches go on "
            "as they were. The log of the API server may have the details, if this lasts."
        ) from None


def _names(owners: str | None) -> frozenset[str]:
    return frozenset(name.strip() for name in (owners or "").split(","))


def _of(table: Any, task: TaskIdentity) -> Collection[Any]:
    return (
        table.dag_id == task.dag_id,
        table.run_id == task.run_id,
        table.task_id == task.task_id,
        table.map_index == task.map_index,
    )


def read_budgets() -> tuple[dict[str, str | None], list[str]]:
    """Read what defines budgets, by its key, and the keys of all claims on them. Blocks."""
    with create_session(scoped=False) as session:
        defining = select(Variable).where(Variable.key.startswith(BUDGET_PREFIX, autoescape=True))
        definitions = {each.key: each.val for each in session.scalars(defining.order_by(Variable.key))}
        claims = select(Variable.key).where(Variable.key.startswith(ENTRY_PREFIX, autoescape=True))
        return definitions, list(session.scalars(claims))
