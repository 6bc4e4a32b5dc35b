"""Whose batches are: users who triggered their runs, and owners of their DAGs, as Airflow's database says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_kimi.exceptions import KimiNoAnswerError


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


def read_whose(views: Collection[Mapping[str, Any]]) -> Whose:
    """Read who has to do with batches that are shown. Blocks.

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
    try:
        with create_session(scoped=False) as session:
            triggered = {(dag_id, run_id): name for dag_id, run_id, name in session.execute(runs)}
            owners = {dag_id: _names(text) for dag_id, text in session.execute(dags)}
    except SQLAlchemyError as error:
        raise KimiNoAnswerError(
            f"Airflow's database could not be read ({type(error).__name__}): which batches are yours is not known now. "
            "Batches go on as they were. The log of the API server may have the details, if this lasts."
        ) from None
    return Whose(triggered, owners)


def _names(owners: str | None) -> frozenset[str]:
    return frozenset(name.strip() for name in (owners or "").split(","))
