"""What other servers of the batch format do otherwise than Kimi; `make test-peers` runs the servers themselves."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.operators.batch import (
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from tests.conftest import Connect
from tests.support.odd_platform import OddPlatform, odd_platform
from tests.support.raw_server import Pieces, connect_to, raw_server, reply
from tests.support.rounds import job, reviews
from tests.support.tasks import TaskInstanceRecord, resume_to_end, run_task

ROWS = 3
Fields = dict[str, Any]


def without_nulls(batch: Fields) -> Fields:
    return {name: value for name, value in batch.items() if value is not None}


def scheduling(batch: Fields) -> Fields:
    return batch | ({"status": "scheduling"} if batch["status"] == "in_progress" else {})


def without_expiry(batch: Fields) -> Fields:
    return {name: value for name, value in batch.items() if name != "expires_at"}


def without_counts_until_the_end(batch: Fields) -> Fields:
    return batch if batch["status"] == "completed" else {k: v for k, v in batch.items() if k != "request_counts"}


def bare_uuid(kind: str, number: int) -> str:
    return str(UUID(int=(number << 64) + len(kind)))


@dataclass(frozen=True)
class Oddity:
    """How a server differs.

    :param has_empty_files: Whether a batch without failed rows names an error file, which is empty.
    """

    shows: tuple[Callable[[Fields], Fields], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    has_empty_files: bool = False


ALONE = {
    "fields absent instead of null": Oddity((without_nulls,)),
    "status scheduling": Oddity((scheduling,)),
    "no expires_at": Oddity((without_expiry,)),
    "no counts until the end": Oddity((without_counts_until_the_end,)),
    "window 1d": Oddity((lambda batch: batch | {"completion_window": "1d"},)),
    "bare UUIDs as ids": Oddity(settings=(("ids", bare_uuid),)),
    "body as the text of JSON": Oddity(settings=(("writes_body", json.dumps),)),
    "an error file that is empty": Oddity(has_empty_files=True),
    "no balance": Oddity(settings=(("balance", None),)),
}
ODDITIES = ALONE | {
    "all of them": Oddity(
        tuple(show for oddity in ALONE.values() for show in oddity.shows),
        tuple(setting for oddity in ALONE.values() for setting in oddity.settings),
        has_empty_files=True,
    )
}


def settings(oddity: Oddity) -> dict[str, Any]:
    def shown(batch: Fields) -> Fields:
        for show in oddity.shows:
            batch = show(batch)
        return batch

    return {"shows": shown, **dict(oddity.settings)}


def quick(operator: type[Any], platform: OddPlatform) -> type[Any]:
    """An operator whose pauses move the clock of the platform on."""
    return type(operator.__name__, (operator,), {"_sleep": staticmethod(platform.advance)})


def end(platform: OddPlatform, batch_id: str, oddity: Oddity) -> None:
    platform.complete(batch_id)
    if oddity.has_empty_files:
        platform.batches[batch_id]["error_file_id"] = platform.keep("errors.jsonl", b"")


def check_result(folder: Path, manifest: Fields, ids: list[str]) -> None:
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [(row["custom_id"], row["status"], row["content"], row["text"]) for row in rows] == [
        (f"r{number}", "succeeded", "positive", f"review {number}") for number in range(ROWS)
    ]
    assert (manifest["status"], manifest["batch_ids"]) == ("completed", ids)


def test_three_tasks_and_what_cleans_up_work_with_another_server(connect: Connect, tmp_path: Path) -> None:
    oddity, table, ti = ODDITIES["all of them"], reviews(tmp_path, ROWS), TaskInstanceRecord(max_tries=2)
    with odd_platform(**settings(oddity)) as odd:
        connect(odd, requests_per_minute=600)
        create = quick(KimiCreateBatchOperator, odd)(task_id="label", input=table, prompt="{text}", key_column="id")
        ids = run_task(create, ti).value
        assert run_task(create, TaskInstanceRecord(try_number=2, max_tries=2)).value == ids == list(odd.batches)
        wait = KimiBatchSensor(task_id="wait", batch_id=ids, poke_interval=0.1)
        waiting = run_task(wait)
        assert waiting.deferred is not None
        end(odd, ids[0], oddity)
        assert resume_to_end(wait, waiting).value == ids
        land = quick(KimiBatchResultsOperator, odd)(task_id="land", batch_id=ids, input=table, output=f"{tmp_path}/out")
        check_result(tmp_path / "out", run_task(land).value, ids)
        cancel = quick(KimiCancelBatchOperator, odd)(task_id="cancel", batch_id=ids)
        assert run_task(cancel).value == {ids[0]: "completed"}
        inputs = ti.xcoms["input_file_ids"]
        assert run_task(quick(KimiDeleteFilesOperator, odd)(task_id="delete", file_id=inputs)).value == inputs


@pytest.mark.parametrize("name", ["all of them", *(pytest.param(name, marks=pytest.mark.slow) for name in ALONE)])
def test_the_one_task_works_with_another_server(connect: Connect, tmp_path: Path, name: str) -> None:
    with odd_platform(**settings(ODDITIES[name])) as odd:
        connect(odd, requests_per_minute=600)
        task = job(tmp_path, ROWS, sim=odd, max_rounds=1)
        waiting = run_task(task)
        (batch_id,) = odd.batches
        end(odd, batch_id, ODDITIES[name])
        manifest = resume_to_end(task, waiting).value
    check_result(tmp_path / "out", manifest, [batch_id])


def test_a_create_behind_a_refusal_that_closed_the_connection_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal promises to keep the connection, and the server closes it all the same."""

    def answer(request: bytes) -> Pieces:
        if request.startswith(b"GET"):
            yield reply(b'{"error": {"message": "Batch not found"}}', "404 Not Found", connection="keep-alive")
            raise ConnectionAbortedError
        yield reply(b'{"id": "batch_1", "status": "validating"}')

    with raw_server(answer) as server:
        hook = connect_to(monkeypatch, server.base_url)
        for _ in range(5):
            with pytest.raises(KimiApiError, match="Batch not found"):
                hook.get_batch("batch_0")
            time.sleep(0.05)  # until the end of the connection has arrived: a create on the way would be doubtful
            assert hook.create_batch("file_1").id == "batch_1"
    assert [request[:4] for request in server.requests] == [b"GET ", b"POST"] * 5
