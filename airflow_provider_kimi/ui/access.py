"""What each route is given: the user, what was read for all users, and who may see what, as Airflow decides it."""

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Request

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
    try:
        requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE, dag_id)(request, user)
    except HTTPException:
        return False
    return True


def _may_read_any(user: GetUserDep) -> bool:
    return bool(
        get_auth_manager().is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.TASK_INSTANCE, details=DagDetails(), user=user
        )
    )
