"""Rows whose answers are there are not sent: those that the cache answers, and those that ask what another row asks."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow_provider_kimi.cache.digests import request_digest
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, read_saved_line
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.requests import write_jsonl
from tests.support.rounds import QUICK, asked_in, lines_of
from tests.support.rounds import job as reviews_job
from tests.support.tasks import TaskInstanceRecord, run_task


def rows(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "text": f"review {n}"} for n in numbers]


def job(folder: Path, sim: KimiSimulator, table: list[dict[str, Any]], **parameters: Any) -> Any:
    source = write_jsonl(folder / "table.jsonl", table)
    defaults = {"input": source, "cache": f"{folder}/cache", "max_rounds": 1}
    return reviews_job(folder, 0, sim=sim, **{**defaults, **parameters})


def day(number: int, try_number: int = 1) -> TaskInstanceRecord:
    return TaskInstanceRecord(task_id="job", run_id=f"day{number}", try_number=try_number)


def keep_all(sim: KimiSimulator, cache: str, writer: str = "w", answer: str | None = None) -> None:
    """Keep an answer to every request that any batch has asked."""
    base_url = KimiHook().settings.base_url
    with AnswerCache(cache).writer(writer) as writing:
        for batch_id in sim.batches:
            for line in lines_of(sim, batch_id):
                body = json.dumps(line["body"]).encode()
                writing.add(request_digest(body, base_url=base_url), response(answer or "positive"))


def response(content: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps(
        {"status_code": 200, "request_id": "", "body": {"model": "kimi-k2.6", "choices": [choice]}}
    ).encode()


def saved(folder: Path) -> dict[str, list[SavedHeader | SavedRow | None]]:
    files = sorted((folder / "out").glob(".kimi-saved-*"))
    return {path.name: [read_saved_line(line) for line in path.read_bytes().splitlines()] for path in files}


def calls(sim: KimiSimulator, *names: str) -> list[str]:
    return [call.name for call in sim.journal if call.name in names]


def test_day_two_sends_the_rows_that_are_new(connect: Connect, tmp_path: Path) -> None:
    """100 rows on the first day; 90 of them and 10 new ones on the second."""
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        assert run_task(job(tmp_path, sim, rows(range(100))), day(1)).deferred
        keep_all(sim, f"{tmp_path}/cache")
        assert run_task(job(tmp_path, sim, rows(range(10, 110))), day(2)).deferred
        first, second = asked_in(sim)
        assert calls(sim, "create_batch", "upload_file") == ["upload_file", "create_batch"] * 2
    assert first == [f"r{n}" for n in range(100)]
    assert second == [f"r{n}" for n in range(100, 110)]
    header, *kept = list(saved(tmp_path).values())[-1]
    assert isinstance(header, SavedHeader)
