"""The routes of batches."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.ui.access import AccountsDep, GetUserDep, may_read
from airflow_provider_kimi.ui.airflow_records import Whose

router = APIRouter()


@router.get("/batches")
async def batches(
    request: Request, user: GetUserDep, accounts: AccountsDep, conn_id: str = KimiHook.default_conn_name
) -> dict[str, Any]:
    """List the batches of a connection whose DAGs the user may see."""
    seen = await accounts.batch_list(conn_id)
    shown = {"batches": [], "is_whole": True, "is_reading": seen.is_part}
    shown |= {"age_seconds": accounts.age_of(seen), "error": seen.error}
    if seen.value is None:
        return shown
    visible = await run_in_threadpool(_visible, request, user, seen.value.views)
    whose = await accounts.look(conn_id, lambda account: account.whose)
    known, name = whose.value or Whose(), user.get_name()
    mine = [{**view, "is_mine": known.is_of(view, name)} for view in visible]
    return shown | {"batches": mine, "is_whole": seen.value.is_whole, "error": seen.error or whose.error}


def _visible(request: Request, user: GetUserDep, views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the batches whose DAG the user may see. Blocks."""
    allowed = {dag_id: may_read(request, user, dag_id) for dag_id in {view["dag_id"] for view in views}}
    return [view for view in views if allowed[view["dag_id"]]]
