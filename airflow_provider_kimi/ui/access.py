"""What each route is given: the user, what was read for all users, and who may do what, as Airflow decides it."""

from collections.abc import Iterable
from typing import Annotated, Literal
from urllib.parse import urlencode, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
    VariableDetails,
)
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException, Request
from sqlalchemy import select

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.ui.accounts import Accounts

__all__ = ["AccountsDep", "GetUserDep", "SessionDep"]


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


AccountsDep = Annotated[Accounts, Depends(_accounts)]


def reader(request: Request, user: GetUserDep) -> None:
    """Refuse everybody who is not logged in, or may read no task instances; no parameter of the request matters."""
    if not _may_any("GET", user):
        raise HTTPException(403, "Forbidden")


def from_own_page(request: Request) -> None:
    """Refuse what a page of another site may have a browser send with the user's cookie; no browser adds a token."""
    headers = request.headers
    if headers.get("authorization", "").lower().startswith("bearer "):
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    is_own = site == "same-origin" if site else origin is None or _host_of(origin) == headers.get("host")
    if not is_own or "x-requested-with" not in headers:
        raise HTTPException(403, "This has to be sent by the page itself, or with a token. Nothing was changed.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def may_read(request: Request, user: GetUserDep, dag_id: str | None) -> bool:
    """Whether a user may read the task instances of a DAG; None for what belongs to no DAG. Blocks."""
    return _may("GET", request, user, dag_id)


def readable(request: Request, user: GetUserDep, dag_ids: Iterable[str | None]) -> set[str | None]:
    """Return those DAGs whose task instances a user may read. Blocks."""
    return {dag_id for dag_id in set(dag_ids) if may_read(request, user, dag_id)}


def may_edit(request: Request, user: GetUserDep, dag_id: str | None) -> bool:
    """Whether a user may edit the task instances of a DAG; None for those of all DAGs. Blocks."""
    may_edit_dags = dag_id is not None or get_auth_manager().is_authorized_dag(
        method="PUT", details=DagDetails(), user=user
    )  # FAB asks for no right to DAGs where task instances of none are named
    return may_edit_dags and _may("PUT", request, user, dag_id)


def may_start(request: Request, user: GetUserDep, dag_id: str) -> bool:
    """Whether a user may start runs of a DAG. Blocks."""
    return _may("POST", request, user, dag_id, DagAccessEntity.RUN)


async def audit(event: str, request: Request, user: GetUserDep, session: SessionDep, **named: str | None) -> None:
    """Write into Airflow's audit log who does what to what; nothing else that the request says is in it.

    :param named: What it is done to; an entry that has a `dag_id` is shown to those who may see that DAG.
    """
    query = urlencode({name: value for name, value in named.items() if value}).encode()
    told = Request({**request.scope, "query_string": query, "path_params": {}, "headers": []})
    await action_logging(event)(told, session, user)


def may_read_results(request: Request, user: GetUserDep, dag_id: str) -> bool:
    """Whether a user may read the task instances of a DAG and their XComs. Blocks."""
    is_visible = may_read(request, user, dag_id)
    return is_visible and _may("GET", request, user, dag_id, DagAccessEntity.XCOM)


def may_read_connection(user: GetUserDep, conn_id: str) -> bool:
    """Whether a user may read a connection of Airflow. Blocks."""
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
    return bool(get_auth_manager().is_authorized_connection(method="GET", details=details, user=user))


def may_read_variable(user: GetUserDep, key: str) -> bool:
    """Whether a user may read a Variable of Airflow. Blocks."""
    details = VariableDetails(key=key, team_name=Variable.get_team_name(key))
    return bool(get_auth_manager().is_authorized_variable(method="GET", details=details, user=user))


def readable_connections(user: GetUserDep) -> list[str]:
    """Return the ids of the connections of type `kimi` in Airflow's database that a user may read. Blocks."""
    statement = select(Connection.conn_id).where(Connection.conn_type == KimiHook.conn_type)
    with create_session(scoped=False) as session:
        conn_ids = list(session.scalars(statement.order_by(Connection.conn_id)))
    return [conn_id for conn_id in conn_ids if may_read_connection(user, conn_id)]


def _may(
    method: Literal["GET", "PUT", "POST"],
    request: Request,
    user: GetUserDep,
    dag_id: str | None,
    entity: DagAccessEntity = DagAccessEntity.TASK_INSTANCE,
) -> bool:
    if dag_id is None:
        return _may_any(method, user)
    try:
        requires_access_dag(method, entity, dag_id)(request, user)
    except HTTPException:
        return False
    return True


def _may_any(method: Literal["GET", "PUT", "POST"], user: GetUserDep) -> bool:
    return bool(
        get_auth_manager().is_authorized_dag(
            method=method, access_entity=DagAccessEntity.TASK_INSTANCE, details=DagDetails(), user=user
        )
    )
