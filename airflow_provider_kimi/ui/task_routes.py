"""The route of a task instance: its batches, its progress, and what it has landed."""

import time
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from airflow_provider_kimi.addresses import run_path, task_path
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.ui.access import AccountsDep, GetUserDep, may_read, may_read_results
from airflow_provider_kimi.ui.account import BatchList, NoKimiConnectionError
from airflow_provider_kimi.ui.accounts import Accounts
from airflow_provider_kimi.ui.airflow_records import read_task
from airflow_provider_kimi.ui.glance import Seen
from airflow_provider_kimi.ui.landed_batches import replay_path
from airflow_provider_kimi.ui.task_view import (
    TaskRecord,
    batches_of,
    outcomes_of_task,
    read_map_index,
    task_view,
    views_of_task,
)

router = APIRouter()


@router.get("/task")
async def task(
    request: Request,
    user: GetUserDep,
    accounts: AccountsDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str = "",
) -> dict[str, Any]:
    """Show a task instance, to those who may see it; to others there is none."""
    identity, record = await run_in_threadpool(_found, request, user, dag_id, run_id, task_id, map_index)
    seen = await _seen(accounts, record)
    shown = await run_in_threadpool(_shown, request, user, identity, record, seen.value)
    return shown | {"age_seconds": accounts.age_of(seen), "error": seen.error}


def _found(
    request: Request, user: GetUserDep, dag_id: str, run_id: str, task_id: str, map_index: str
) -> tuple[TaskIdentity, TaskRecord]:
    """Find a task instance; one that the user may not see looks like one that is not there. Blocks."""
    index = read_map_index(map_index)
    if index is not None and may_read(request, user, dag_id):
        identity = TaskIdentity(dag_id, run_id, task_id, index)
        if (record := read_task(identity)) is not None:
            return identity, record if may_read_results(request, user, dag_id) else replace(record, xcoms={})
    raise HTTPException(404, "There is no task instance of these names that you may see.")


async def _seen(accounts: Accounts, record: TaskRecord) -> Seen[BatchList]:
    """Look at the batches of the connection of a task of ours; that it is gone is told like a fault."""
    if not record.is_ours:
        return Seen()
    try:
        return await accounts.batch_list(record.conn_id or KimiHook.default_conn_name)
    except NoKimiConnectionError as error:
        return Seen(error=str(error))


def _shown(
    request: Request, user: GetUserDep, task: TaskIdentity, record: TaskRecord, known: BatchList | None
) -> dict[str, Any]:
    """Show a task instance, and those of its batches whose DAG the user may see. Blocks."""
    listed = known or BatchList({}, [], is_whole=True)
    batches = batches_of(task, record, listed.batches)
    allowed = {dag_id: may_read(request, user, dag_id) for dag_id in {Tags.of(batch).dag_id for batch in batches}}
    visible = [batch for batch in batches if allowed[Tags.of(batch).dag_id]]
    return {
        "task": task_view(task, record),
        "task_path": task_path(task),
        "run_path": run_path(task),
        "conn_id": record.conn_id or KimiHook.default_conn_name,
        "batches": views_of_task(visible, listed.views, time.time()),
        "outcomes": outcomes_of_task(record, visible),
        "is_whole": listed.is_whole,
        "replay_path": replay_path(request, user),
    }
