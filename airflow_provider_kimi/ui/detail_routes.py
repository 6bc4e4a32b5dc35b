"""The routes of one batch: what it is, and its cancel."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import acancel_batch
from airflow_provider_kimi.calls.patience import in_time
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.ui.access import (
    AccountsDep,
    GetUserDep,
    SessionDep,
    audit,
    from_own_page,
    may_edit,
    may_read,
)
from airflow_provider_kimi.ui.accounts import Accounts
from airflow_provider_kimi.ui.batch_view import shown
from airflow_provider_kimi.ui.detail_view import detail_of, files_of
from airflow_provider_kimi.ui.glance import Seen
from airflow_provider_kimi.ui.landed_result import landed_with
from airflow_provider_kimi.waiting.clock import clock_of

_log = logging.getLogger(__name__)

router = APIRouter()

#: How long an answer waits for what an error file says; the page asks again.
ERRORS_PATIENCE_SECONDS = 2.0

#: What the audit log calls a cancel.
AUDIT_EVENT = "kimi_cancel_batch"

#: Longest name that Airflow's audit log has a column for.
MOST_AUDITED = 250


@router.get("/batch")
async def batch(
    request: Request,
    user: GetUserDep,
    accounts: AccountsDep,
    batch_id: Annotated[str, Query(alias="batch")],
    conn_id: str = KimiHook.default_conn_name,
) -> dict[str, Any]:
    """Show one batch, to those who may see its DAG; to others there is none of its id."""
    seen = await _seen(request, user, accounts, conn_id, batch_id)
    return await _answer(request, user, accounts, conn_id, seen)


@router.post("/batches/{batch_id}/cancel", dependencies=[Depends(from_own_page)])
async def cancel(
    request: Request,
    user: GetUserDep,
    accounts: AccountsDep,
    session: SessionDep,
    batch_id: str,
    conn_id: str = KimiHook.default_conn_name,
) -> dict[str, Any]:
    """Cancel a batch for those who may edit the task instances of its DAG, by its tags as they are read for this."""
    seen = await _seen(request, user, accounts, conn_id, batch_id)
    if (known := seen.value) is None:
        return await _answer(request, user, accounts, conn_id, seen)
    await _check_right(request, user, known)
    account = accounts.of(conn_id)
    async with account.cancelling(known.id):
        try:
            fresh = await in_time(account.hook.aget_batch(known.id))
            await _check_right(request, user, fresh)
            _log.info("User %r cancels batch %r over connection %r.", user.get_name(), known.id, conn_id)
            await audit(AUDIT_EVENT, request, user, session, conn_id=conn_id, **_names_of(fresh))
            left = await acancel_batch(account.hook, known.id, fresh)
        except KimiError as error:
            _log.warning("The cancel of batch %r by user %r has failed: %s", known.id, user.get_name(), error)
            return await _answer(request, user, accounts, conn_id, Seen(known, seen.at, error=str(error)))
    _log.info("Batch %r is %r after the cancel by user %r.", known.id, left.status, user.get_name())
    account.take(left)
    return await _answer(request, user, accounts, conn_id, Seen(left, accounts.now()))


async def _seen(
    request: Request, user: GetUserDep, accounts: Accounts, conn_id: str, batch_id: str
) -> Seen[Batch | None]:
    """Find a batch; one that the user may not see looks like one that is not there."""
    seen = await accounts.batch(conn_id, batch_id)
    found = seen.value
    is_visible = found is not None and await run_in_threadpool(may_read, request, user, Tags.of(found).dag_id)
    if seen.at is not None and not is_visible:
        raise HTTPException(
            404,
            f"There is no batch {batch_id!r:.100} that you may see over connection {conn_id!r:.100}. It may be of "
            "another account, or of a DAG that is hidden from you.",
        )
    return seen


async def _check_right(request: Request, user: GetUserDep, batch: Batch) -> None:
    if not await _may_edit(request, user, batch):
        raise HTTPException(
            403,
            "You may not edit the task instances of the DAG of this batch, so you may not cancel it. Nothing was "
            "changed: what runs goes on and is billed.",
        )


async def _may_edit(request: Request, user: GetUserDep, batch: Batch) -> bool:
    """Whether a user may cancel a batch: by its DAG, or, if this provider did not make it, by that of all DAGs."""
    tags = Tags.of(batch)
    return await run_in_threadpool(may_edit, request, user, tags.dag_id if tags.is_ours else None)


def _names_of(batch: Batch) -> dict[str, str | None]:
    """Name a batch and its task instance, as far as it says, for the audit log."""
    tags = Tags.of(batch)
    names = {"batch_id": batch.id, "dag_id": tags.dag_id, "run_id": tags.run_id, "task_id": tags.task_id}
    return {name: shown(text, MOST_AUDITED) for name, text in names.items()}


async def _answer(
    request: Request, user: GetUserDep, accounts: Accounts, conn_id: str, seen: Seen[Batch | None]
) -> dict[str, Any]:
    age = accounts.age_of(seen)
    answer = {"batch": None, "errors": None, "result": None, "age_seconds": age, "error": seen.error}
    if (batch := seen.value) is None:
        return answer
    now = clock_of(accounts.of(conn_id).hook)() - (age or 0.0)
    sizes = await _sizes(accounts, conn_id, batch)
    detail = detail_of(batch, now, may_edit=await _may_edit(request, user, batch), sizes=sizes)
    landed = await run_in_threadpool(landed_with, request, user, batch, conn_id)
    return answer | landed | {"batch": detail, "errors": await _errors(accounts, conn_id, batch)}


async def _sizes(accounts: Accounts, conn_id: str, batch: Batch) -> Mapping[str, int | None]:
    """Sizes of files, as the list of files has shown them; a batch that lacks some has it read, and does not wait."""
    known = accounts.of(conn_id).holdings.seen.value
    if known is None or not known.sizes.keys() >= set(files_of(batch).values()):
        known = (await accounts.look(conn_id, lambda account: account.holdings, 0)).value
    return known.sizes if known else {}


async def _errors(accounts: Accounts, conn_id: str, batch: Batch) -> dict[str, Any] | None:
    """What the error file says; None if there is none, or it is not read yet."""
    file_id = batch.error_file_id
    if file_id is None or not batch.is_terminal:
        return None
    seen = await accounts.look(conn_id, lambda account: account.errors(file_id), ERRORS_PATIENCE_SECONDS)
    return seen.value or {"codes": [], "is_whole": False, "error": seen.error}
