"""The routes of an account: what it has, and what results have cost."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.ui.access import (
    AccountsDep,
    GetUserDep,
    may_read_connection,
    may_read_results,
    may_read_variable,
    readable,
    readable_connections,
)
from airflow_provider_kimi.ui.account import BatchList, NoKimiConnectionError
from airflow_provider_kimi.ui.accounts import check_conn_id
from airflow_provider_kimi.ui.airflow_records import DAYS, Recent, read_budgets
from airflow_provider_kimi.ui.budgets import views_of
from airflow_provider_kimi.ui.spend import costs_of_batches, shares_of, spend_since

router = APIRouter()

_DAY_SECONDS = 86_400.0


@router.get("/connections")
def connections(user: GetUserDep) -> dict[str, Any]:
    """List the connections of type `kimi` that the user may read, by their ids alone."""
    return {"connections": readable_connections(user)}


@router.get("/account")
async def account(user: GetUserDep, accounts: AccountsDep, conn_id: str = KimiHook.default_conn_name) -> dict[str, Any]:
    """Show what the account of a connection has, to those who may read the connection."""
    check_conn_id(conn_id)
    if not await run_in_threadpool(may_read_connection, user, conn_id):
        return {"is_shown": False}
    seen = await accounts.look(conn_id, lambda account: account.holdings)
    known = seen.value.to_dict() if seen.value else {}
    return {
        "is_shown": True,
        "is_reading": seen.is_part,
        "age_seconds": accounts.age_of(seen),
        "error": seen.error,
        **known,
    }


@router.get("/budgets")
def budgets(user: GetUserDep) -> dict[str, Any]:
    """Show how budgets stand, to those who may read the Variables that define them."""
    definitions, names = read_budgets()
    seen = {key: stored for key, stored in definitions.items() if may_read_variable(user, key)}
    return {"budgets": views_of(seen, names, datetime.now(UTC))}


@router.get("/spend")
async def spend(
    request: Request, user: GetUserDep, accounts: AccountsDep, conn_id: str = KimiHook.default_conn_name
) -> dict[str, Any]:
    """Show what results of the last days have cost, and what is known of each batch of a connection."""
    try:
        batches = (await accounts.batch_list(conn_id)).value
    except NoKimiConnectionError:  # what was spent is the same over all connections
        batches = None
    seen = await accounts.recent()
    shown = {"error": seen.error, "age_seconds": accounts.age_of(seen)}
    if seen.value is None:
        return shown
    return shown | await run_in_threadpool(_spend, request, user, seen.value, batches)


def _spend(request: Request, user: GetUserDep, recent: Recent, batches: BatchList | None) -> dict[str, Any]:
    """Add up the results that the user may read. Blocks."""
    allowed = {dag_id: may_read_results(request, user, dag_id) for dag_id in {each.dag_id for each in recent.results}}
    results = [each for each in recent.results if allowed[each.dag_id]]
    views = batches.views if batches else []
    visible = readable(request, user, (view["dag_id"] for view in views))
    shares = shares_of(results)
    return {
        "spent": {str(days): spend_since(shares, recent.now - days * _DAY_SECONDS) for days in (7, DAYS)},
        "is_whole": recent.is_whole,
        "batches": costs_of_batches(results, (view["id"] for view in views if view["dag_id"] in visible)),
    }
