"""The canaries on the page of batches: no route shows a key, a row or an answer, whatever the platform says."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest

pytest.importorskip("fastapi", reason="Airflow 2 has no page of ours")

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError, Timing
from airflow_provider_kimi.simulator.faults import CallName
from airflow_provider_kimi.ui.app import FILES
from tests.conftest import Connect
from tests.support.canaries import ANSWER, ECHO, IDS, KEY, PROMPT, ROW, found_in
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.ui.database import landing, manifest, store_task
from tests.ui.pages import Pages

TASK = ATTEMPT.task
OF_TASK = {"dag_id": TASK.dag_id, "run_id": TASK.run_id, "task_id": TASK.task_id, "map_index": "-1"}

#: What each route that reads is asked with, beside the connection; `batch` is filled in.
READS: dict[str, dict[str, str]] = {
    "/connections": {},
    "/account": {},
    "/budgets": {},
    "/spend": {},
    "/batches": {},
    "/batch": {"batch": ""},
    "/task": OF_TASK,
}


def answer(asked: Mapping[str, Any]) -> Answer | RowError:
    """Refuse the second row of each batch, with all that is known of it."""
    return RowError("server_error", ECHO) if asked["custom_id"].endswith("2") else Answer(ANSWER)


@pytest.fixture
def platform(connect: Connect) -> Iterator[KimiSimulator]:
    with KimiSimulator(api_key=KEY, speed=0, timing=Timing(1, 10, 1), responder=answer) as platform:
        connect(platform)
        yield platform


@pytest.fixture
def batch_id(platform: KimiSimulator, connect: Connect) -> str:
    """A batch of a task, with a row that failed."""
    asked = order([f"{ROW} 1", f"{ROW} 2"], system_prompt=PROMPT)
    (batch_id,) = submit(connect(platform), asked, ATTEMPT, LogRecord()).batch_ids
    platform.advance(100)
    xcoms = landing(manifest(batch_id)) | {"batch_ids": [batch_id]}
    store_task(TASK, xcoms=xcoms, fields={"kimi_conn_id": "kimi_default"})
    return batch_id


def test_each_route_that_reads_is_looked_at(pages: Pages) -> None:
    routes = {getattr(route, "path", "") for route in pages.app.routes if "GET" in getattr(route, "methods", ())}
    assert routes - set(FILES) == set(READS)


@pytest.mark.parametrize("is_refused", [False, True], ids=["read", "refused"])
@pytest.mark.parametrize("role", ["viewer", "admin"])
@pytest.mark.parametrize("path", READS)
async def test_no_route_shows_a_key_a_row_or_an_answer(
    pages: Pages, platform: KimiSimulator, batch_id: str, path: str, role: str, is_refused: bool
) -> None:
    if is_refused:
        for call in get_args(CallName):
            platform.inject(call, status=400, error_type="invalid_request_error", message=IDS, times=None)
    asked = READS[path] | ({"batch": batch_id} if "batch" in READS[path] else {})
    reply = await pages.get(path, role, **asked)
    assert reply.status_code in (200, 404, 502), reply.text
    assert not found_in(reply.text + repr(dict(reply.headers)))
    assert "hidden" in reply.text or not (is_refused and path == "/batches"), "the refusal is not shown at all"


async def test_a_refused_cancel_shows_no_key_and_no_id(pages: Pages, platform: KimiSimulator, connect: Connect) -> None:
    (batch_id,) = submit(connect(platform), order([f"{ROW} 1"]), ATTEMPT, LogRecord()).batch_ids
    store_task(TASK)
    platform.inject("cancel_batch", status=403, error_type="permission_denied_error", message=IDS, times=None)
    reply = await pages.cancel(batch_id, "admin")
    assert "hidden" in reply.text
    assert not found_in(reply.text)
