"""Rows whose answers are there are not sent: those that the cache answers, and those that ask what another row asks."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.cache.digests import request_digest
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, read_saved_line
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.requests import write_jsonl
from tests.support.rounds import QUICK, SPEED, asked_in, lines_of, results
from tests.support.rounds import job as reviews_job
from tests.support.tasks import TaskInstanceRecord, run_task, run_to_end


def rows(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "text": f"review {n}"} for n in numbers]


def job(folder: Path, sim: KimiSimulator, table: list[dict[str, Any]], **parameters: Any) -> Any:
    source = write_jsonl(folder / f"table-{len(table)}.jsonl", table)
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
        run_task(job(tmp_path, sim, rows(range(100))), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        run_task(job(tmp_path, sim, rows(range(10, 110))), day(2))
        first, second = asked_in(sim)
        assert calls(sim, "create_batch", "upload_file") == ["upload_file", "create_batch"] * 2
    assert first == [f"r{n}" for n in range(100)]
    assert second == [f"r{n}" for n in range(100, 110)]
    header, *kept = list(saved(tmp_path).values())[-1]
    assert isinstance(header, SavedHeader)


def test_nothing_is_sent_and_nobody_waits_where_every_answer_is_there(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=SPEED, timing=QUICK) as sim:
        connect(sim)
        first = run_to_end(job(tmp_path, sim, rows(range(10))), day(1)).value
        sim.journal.clear()
        table = [{"id": "bad", "text": ""}, *rows(range(9, -1, -1)), {"id": "again", "text": "review 3"}]
        task = job(tmp_path, sim, table, dedupe=True, on_invalid_row="skip", max_rounds=3, pilot_rows=2, max_cost=1)
        attempt = run_task(task, day(2))
        assert attempt.deferred is None
        again = run_task(task, day(2, try_number=2))
        assert calls(sim, "create_batch", "upload_file", "download_file", "get_batch") == []
    manifest = attempt.value
    assert first["batch_ids"] == list(sim.batches)
    assert (manifest["batch_ids"], manifest["status"], manifest["saved"]["cache"]) == ([], "partial", 10)
    assert manifest["counts"] | {"total": 12, "succeeded": 11, "invalid": 1} == manifest["counts"]
    assert manifest["usage"]["total_tokens"] == 0
    assert [row["source"] for row in results(tmp_path).values()] == [None, *["cache"] * 10, "duplicate"]
    assert again.value["counts"] == manifest["counts"]


def test_a_clear_after_success_sends_nothing_more(connect: Connect, tmp_path: Path) -> None:
    """Since then the answers of its own batch are in the cache, so it would decide otherwise now."""
    with KimiSimulator(speed=SPEED, timing=QUICK) as sim:
        connect(sim)
        run_to_end(job(tmp_path, sim, rows(range(5))), day(1))
        task = job(tmp_path, sim, rows(range(8)))
        first = run_to_end(task, day(2)).value
        again = run_to_end(task, day(2, try_number=2)).value
        assert asked_in(sim) == [[f"r{n}" for n in range(5)], ["r5", "r6", "r7"]]
    assert first["batch_ids"] == again["batch_ids"] == list(sim.batches)[1:]
    assert [row["source"] for row in results(tmp_path).values()] == ["cache"] * 5 + ["batch"] * 3
    assert first["counts"] == again["counts"]
    assert first["cost"] == again["cost"]


def test_a_retry_attaches_although_the_cache_has_changed_meanwhile(connect: Connect, tmp_path: Path) -> None:
    """The first try is killed once its batch runs; by the time of the retry another run has cached all answers."""
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        task = job(tmp_path, sim, rows(range(10)))
        run_task(task, day(1))
        keep_all(sim, f"{tmp_path}/cache")
        run_task(task, day(1, try_number=2))
        assert calls(sim, "create_batch", "upload_file") == ["upload_file", "create_batch"]
    assert saved(tmp_path) == {}  # it is in the result


def test_a_retry_attaches_although_the_cache_was_purged_meanwhile(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, rows(range(10))), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        task = job(tmp_path, sim, rows(range(5, 15)))
        run_task(task, day(2))
        AnswerCache(f"{tmp_path}/cache").purge(timedelta(0))
        assert not list((tmp_path / "cache").iterdir())
        run_task(task, day(2, try_number=2))
        assert [len(batch) for batch in asked_in(sim)] == [10, 5]


def test_every_batch_names_the_file_of_the_rows_that_it_lacks(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, rows(range(3))), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        run_task(job(tmp_path, sim, rows(range(8)), max_rows_per_batch=2), day(2))
        names = {(batch.metadata or {})["kimi_saved"] for batch in list(sim.batches.values())[1:]}
    assert len(sim.batches) == 4
    assert names <= set(saved(tmp_path))
    assert len(names) == 1


def test_the_saved_file_says_where_each_row_stands_among_those_that_are_sent(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, rows([0, 3, 4, 9])), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        table: list[dict[str, Any]] = [*rows(range(10)), {"id": "again", "text": "review 2"}, {"id": "bad", "text": ""}]
        task = job(tmp_path, sim, table, max_rows_per_batch=3, dedupe=True, on_invalid_row="skip")
        run_task(task, day(2))
        name = (list(sim.batches.values())[-1].metadata or {})["kimi_saved"]
        assert asked_in(sim)[1:] == [["r1", "r2", "r5"], ["r6", "r7", "r8"]]
    header, *kept = saved(tmp_path)[name]
    assert isinstance(header, SavedHeader)
    assert (header.cache, header.duplicate, header.model) == (4, 1, "kimi-k2.6")
    found = [
        (row.custom_id, row.number, row.shard, row.position, row.twin) for row in kept if isinstance(row, SavedRow)
    ]
    assert found == [
        ("r0", 1, 1, 0, None),
        ("r3", 4, 1, 2, None),
        ("r4", 5, 1, 2, None),
        ("r9", 10, 2, 3, None),
        ("again", 11, 2, 3, "r2"),
    ]
    first, *_, last = (row for row in kept if isinstance(row, SavedRow))
    assert json.loads(bytes(first.request))["custom_id"] == "r0"
    assert first.answer is not msgspec.UNSET
    assert last.answer is msgspec.UNSET


def test_dedupe_sends_each_distinct_request_once(connect: Connect, tmp_path: Path) -> None:
    table = [{"id": f"r{n}", "text": f"review {n % 7}"} for n in range(50)]
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        task = job(tmp_path, sim, table, cache=None, dedupe=True)
        run_task(task, day(1))
        run_task(task, day(1, try_number=2))
        assert asked_in(sim) == [[f"r{n}" for n in range(7)]]
    assert not (tmp_path / "cache").exists()


def test_an_answer_that_no_longer_fits_the_schema_is_asked_again(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        table = rows(range(6))
        labels = {"output_schema": ["positive", "negative"]}
        run_task(job(tmp_path, sim, table, **labels), day(1))
        keep_all(sim, f"{tmp_path}/cache", "old", "positive")
        keep_all(sim, f"{tmp_path}/cache", "new", "so-so")
        run_task(job(tmp_path, sim, rows(range(7)), **labels), day(2))
        assert asked_in(sim)[1] == ["r6"]  # an older answer fits
        AnswerCache(f"{tmp_path}/cache").purge(timedelta(0))
        keep_all(sim, f"{tmp_path}/cache", "new", "so-so")
        run_task(job(tmp_path, sim, table, **labels), day(3))
        assert asked_in(sim)[2] == [f"r{n}" for n in range(6)]


def test_an_answer_that_the_users_check_refuses_is_asked_again(connect: Connect, tmp_path: Path) -> None:
    """The check looks at a column, so rows that ask the same may differ."""

    def check(row: Mapping[str, Any]) -> str | None:
        return "a rating of one star is not positive" if row["stars"] == 1 else None

    table = [{"id": f"r{n}", "text": f"review {n % 3}", "stars": n} for n in range(6)]
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, table), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        bad = {"id": "bad", "text": "", "stars": 1}
        task = job(tmp_path, sim, [bad, *table, *rows([7])], check=check, on_invalid_row="skip")
        run_task(task, day(2))
        assert asked_in(sim)[1] == ["r1", "r7"]


def test_answers_that_are_too_old_are_asked_again(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        table = rows(range(3))
        run_task(job(tmp_path, sim, table), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        (segment,) = (tmp_path / "cache").iterdir()
        segment.rename(segment.with_name(segment.name.replace(segment.name[8:12], "2020", 1)))
        run_task(job(tmp_path, sim, table, cache_max_age=timedelta(days=30)), day(2))
        assert [len(batch) for batch in asked_in(sim)] == [3, 3]


def test_fresh_work_reads_no_cache_and_what_it_decides_counts_from_then_on(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, rows(range(3))), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        table = rows(range(5))
        run_task(job(tmp_path, sim, table), day(2))
        run_task(job(tmp_path, sim, table, reuse="never"), day(2, try_number=2))
        assert [len(batch) for batch in asked_in(sim)] == [3, 2, 5]
        attempt = run_task(job(tmp_path, sim, table), day(2, try_number=3))
        assert attempt.value["batch_ids"] == list(sim.batches)[2:]
        assert len(sim.batches) == 3


def test_two_runs_at_once_save_the_same_rows_and_disturb_each_other_in_nothing(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, rows(range(3))), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        task = job(tmp_path, sim, rows(range(5)))
        with ThreadPoolExecutor(2) as runs:
            list(runs.map(lambda number: run_task(task, day(number)), (2, 3)))
        assert [len(batch) for batch in asked_in(sim)] == [3, 2, 2]
    assert len(saved(tmp_path)) == 3


def test_a_job_that_is_refused_decides_anew_what_is_sent(connect: Connect, tmp_path: Path) -> None:
    """It is too dear at first; later another run has cached enough."""
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        dear = job(tmp_path, sim, rows(range(30)), max_cost=0.2, request_params={"max_completion_tokens": 1000})
        with pytest.raises(AirflowFailException, match="max_cost"):
            run_task(dear, day(1))
        assert saved(tmp_path) == {}
        other = job(tmp_path, sim, rows(range(29)), request_params={"max_completion_tokens": 1000})
        run_task(other, day(2))
        keep_all(sim, f"{tmp_path}/cache")
        run_task(dear, day(1, try_number=2))
        assert asked_in(sim)[1] == ["r29"]


def test_a_dry_run_says_how_many_rows_would_not_be_sent(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, sim, rows(range(3))), day(1))
        keep_all(sim, f"{tmp_path}/cache")
        before = saved(tmp_path)
        table = [*rows(range(5)), {"id": "again", "text": "review 1"}]
        report = run_task(job(tmp_path, sim, table, dedupe=True, dry_run=True), day(2)).value
        whole = run_task(job(tmp_path, sim, rows(range(3)), dry_run=True), day(2)).value
    assert (report["rows"], report["saved"]) == (2, {"cache": 3, "duplicate": 1})
    assert (whole["rows"], whole["shards"], whole["saved"]["cache"]) == (0, 0, 3)
    assert whole["cost"]["high"] == 0
    assert whole["assumptions"] == ["The answer to every row is there: nothing is sent, and nothing is billed."]
    assert saved(tmp_path) == before


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"cache": 3}, "cache"),
        ({"cache": "s3://key:secret@bucket/cache"}, "password"),
        ({"cache_max_age": -1}, "cache_max_age"),
        ({"dedupe": "yes"}, "dedupe"),
        ({"media": "upload", "image_column": "picture"}, "Set media='base64'"),
    ],
)
def test_a_wrong_parameter_is_refused_while_the_dag_is_parsed(wrong: dict[str, Any], why: str, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim, pytest.raises((ValueError, KimiInputError), match=why):
        job(tmp_path, sim, rows([1]), **wrong)
