"""Ids are opaque: whatever the platform calls a batch or a file, every call reaches just that one."""

import io
from urllib.parse import unquote

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCancelBatchOperator
from tests.support.raw_server import RawServer, connect_to, raw_server, reply
from tests.support.tasks import run_task
from tests.support.waiting import sensor

IDS = ["YmF0Y2g=", "a+b", "~a", "-a", "org/batch/1", "a%2Fb", "a?limit=1", "a#b", "batch:1"]


def paths(server: RawServer) -> list[str]:
    return [request.split(b" ")[1].decode() for request in server.requests]


@pytest.mark.parametrize("unusual", IDS)
def test_every_call_reaches_the_batch_or_file_that_it_names(monkeypatch: pytest.MonkeyPatch, unusual: str) -> None:
    body = f'{{"id": "{unusual}", "status": "completed"}}'.encode()
    with raw_server(lambda request: [reply(body)]) as server:
        hook: KimiHook = connect_to(monkeypatch, server.base_url)
        hook.get_batch(unusual)
        hook.cancel_batch(unusual)
        hook.delete_file(unusual)
        hook.download_file(unusual, io.BytesIO())
        parts = [path.removeprefix("/v1/").split("/") for path in paths(server)]
    named = [[folder, unquote(name), *rest] for folder, name, *rest in parts]
    assert named == [
        ["batches", unusual],
        ["batches", unusual, "cancel"],
        ["files", unusual],
        ["files", unusual, "content"],
    ]


@pytest.mark.parametrize("unusual", IDS)
def test_a_wait_and_a_cancel_take_the_id_that_create_returned(monkeypatch: pytest.MonkeyPatch, unusual: str) -> None:
    body = f'{{"id": "{unusual}", "status": "completed", "output_file_id": "f"}}'.encode()
    with raw_server(lambda request: [reply(body)]) as server:
        connect_to(monkeypatch, server.base_url)
        assert run_task(sensor([unusual])).value == [unusual]
        cancel = KimiCancelBatchOperator(task_id="cancel", batch_id=f"['{unusual}']")
        assert run_task(cancel).value == {unusual: "completed"}
