"""What each route is given: the user, what was read for all users, and who may see what, as Airflow decides it."""

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.connection import Connection
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException, Request
from sqlalchemy import select

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.ui.accounts import Accounts

__all__ = ["AccountsDep", "GetUserDep"]


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


AccountsDep = Annotated[Accounts, Depends(_accounts)]


def reader(request: Request, user: GetUserDep) -> None:
    """Refuse everybody who is not logged in, or may read no task instances; no parameter of the request matters."""
    if not _may_read_any(user):
        raise HTTPException(403, "Forbidden")


def may_read(request: Request, user: GetUserDep, dag_id: str | None) -> bool:
    """Whether a user may read the task instances of a DAG; None for what belongs to no DAG. Blocks."""
    if dag_id is None:
        return _may_read_any(user)
    return _may(DagAccessEntity.TASK_INSTANCE, request, user, dag_id)


def may_read_results(request: Request, user: GetUserDep, dag_id: str) -> bool:
    """Whether a user may read the task instances of a DAG and their XComs. Blocks."""
    return may_read(request, user, dag_id) and _may(DagAccessEntity.XCOM, request, user, dag_id)


def may_read_connection(user: GetUserDep, conn_id: str) -> bool:
    """Whether a user may read a connection of Airflow. Blocks."""
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
    return bool(get_auth_manager().is_authorized_connection(method="GET", details=details, user=user))


def readable_connections(user: GetUserDep) -> list[str]:
    """Return the ids of the connections of type `kimi` in Airflow's database that a user may read. Blocks."""
    statement = select(Connection.conn_id).where(Connection.conn_type == KimiHook.conn_type)
    with create_session(scoped=False) as session:
        conn_ids = list(session.scalars(statement.order_by(Connection.conn_id)))
    return [conn_id for conn_id in conn_ids if may_read_connection(user, conn_id)]


def _may(entity: DagAccessEntity, request: Request, user: GetUserDep, dag_id: str) -> bool:
    try:
        requires_access_dag("GET", entity, dag_id)(request, user)
    except HTTPException:
        return False
    return True


def _may_read_any(user: GetUserDep) -> bool:
    return bool(
        get_auth_manager().is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.TASK_INSTANCE, details=DagDetails(), user=user
        )
    )
