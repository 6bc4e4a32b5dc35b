"""The result has every row: those that were sent, those that the cache answers, and those that repeat another one."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiResultError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import write_jsonl
from tests.support.rounds import BROKEN, QUICK, Model, asked_in, letters, manifest, tries
from tests.support.rounds import job as reviews_job
from tests.support.tasks import Attempt, TaskInstanceRecord, run_task

Table = list[dict[str, Any]]


def rows(texts: Iterable[object]) -> Table:
    return [{"id": f"r{n}", "text": f"review {text}"} for n, text in enumerate(texts)]


def job(folder: Path, sim: KimiSimulator, table: Table, **parameters: Any) -> Any:
    source = write_jsonl(folder / "table.jsonl", table)
    defaults = {"input": source, "cache": f"{folder}/cache", "max_rounds": 1, "max_failed_ratio": 1.0}
    return reviews_job(folder, 0, sim=sim, **{**defaults, **parameters})


def done(task: Any, sim: KimiSimulator, day: int = 1, number: int = 1) -> Attempt:
    """Run a try of the task of a day to its end."""
    return tries(task, sim, ti=TaskInstanceRecord(task_id="job", run_id=f"day{day}", try_number=number))


def landed(folder: Path) -> Table:
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_bytes().splitlines()]


CHOICE = {"message": {"role": "assistant", "content": "review 1"}, "finish_reason": "stop"}


def asked(request_body: Any) -> str:
    return str(request_body["messages"][-1]["content"]).removeprefix("Positive or negative? ")


def echo(custom_id: str, times: int, body: Any) -> Answer:
    """Answer with what was asked."""
    return Answer(asked(body))


def check_answers(found: Table, table: Table) -> None:
    """Every row of the table is there once, in order, with the answer to its own request."""
    assert [row["custom_id"] for row in found] == [row["id"] for row in table]
    assert [row["content"] for row in found] == [row["text"] for row in table]
    assert [row["text"] for row in found] == [row["text"] for row in table]


@pytest.fixture
def sim(connect: Connect) -> Any:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(echo)) as platform:
        connect(platform)
        yield platform


def test_on_day_two_only_new_rows_are_paid_and_the_result_has_all(sim: KimiSimulator, tmp_path: Path) -> None:
    one, two = rows(range(10)), rows([0, 1, 2, 3, "new", 5, 6, 7, 8, 9])
    done(job(tmp_path, sim, one), sim)
    first = manifest(tmp_path)
    assert first["saved"] == {"cache": 0, "duplicate": 0, "stored": 10}
    attempt = done(job(tmp_path, sim, two), sim, day=2)
    check_answers(found := landed(tmp_path), two)
    assert asked_in(sim) == [[row["id"] for row in one], ["r4"]]
    assert [row["source"] for row in found] == ["cache"] * 4 + ["batch"] + ["cache"] * 5
    second = attempt.value
    assert second["saved"] == {"cache": 9, "duplicate": 0, "stored": 1}
    assert second["counts"]["total"] == second["counts"]["succeeded"] == 10
    assert second["usage"]["prompt_tokens"] == found[4]["prompt_tokens"]
    assert second["cost"]["amount"] < first["cost"]["amount"]
    assert all(row["prompt_tokens"] is row["completion_tokens"] is row["batch_id"] is None for row in found[5:])
    assert AnswerCache(f"{tmp_path}/cache").count()._replace(bytes=0) == (11, 0, 9)


def test_a_day_without_new_rows_sends_nothing_and_costs_nothing(sim: KimiSimulator, tmp_path: Path) -> None:
    table = rows(range(5))
    done(job(tmp_path, sim, table), sim)
    attempt = done(job(tmp_path, sim, table), sim, day=2)
    check_answers(landed(tmp_path), table)
    found = attempt.value
    assert len(sim.batches) == 1
    assert (found["batch_ids"], found["status"], found["cost"]["amount"]) == ([], "completed", 0)
    assert found["usage"]["total_tokens"] == 0
    assert Manifest.of_value(found) is not None
    assert found["saved"] == {"cache": 5, "duplicate": 0, "stored": 0}
    assert not list((tmp_path / "out").glob(".kimi-*"))
    assert done(job(tmp_path, sim, table), sim, day=2, number=2).value == found  # cleared


def test_equal_rows_are_asked_once_and_each_has_the_answer(sim: KimiSimulator, tmp_path: Path) -> None:
    table = rows([1, 2, 1, 3, 2, 1])
    found = done(job(tmp_path, sim, table, cache=None, dedupe=True, max_rows_per_batch=2), sim).value
    assert asked_in(sim) == [["r0"], ["r1", "r3"]]
    check_answers(result := landed(tmp_path), table)
    assert [row["source"] for row in result] == ["batch", "batch", "duplicate", "batch", "duplicate", "duplicate"]
    assert [row["batch_id"] for row in result] == [found["batch_ids"][n] for n in (0, 1, 0, 1, 1, 0)]
    assert found["saved"] == {"cache": 0, "duplicate": 3, "stored": 0}
    assert found["usage"]["prompt_tokens"] == sum(row["prompt_tokens"] or 0 for row in result) > 0


def test_a_row_that_repeats_a_failed_one_fails_too_and_only_the_first_is_asked_again(
    connect: Connect, tmp_path: Path
) -> None:
    def say(custom_id: str, times: int, body: Any) -> Any:
        return BROKEN if asked(body) == "review 2" or times == 1 and custom_id == "r0" else Answer(asked(body))

    model = Model(say)
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        table = rows([1, 2, 1, 2, 2])
        found = done(job(tmp_path, sim, table, dedupe=True, max_rounds=2), sim).value
        assert asked_in(sim) == [["r0", "r1"], ["r0", "r1"]]
    result = landed(tmp_path)
    assert [row["status"] for row in result] == ["succeeded", "failed", "succeeded", "failed", "failed"]
    assert [row["round"] for row in result] == [2, 2, 2, 2, 2]
    assert letters(tmp_path) == ["r1", "r3", "r4"]
    assert found["failures"] == [
        {"status": "failed", "reason": "server_error", "count": 3, "sample": ["r1", "r3", "r4"]}
    ]
    assert found["by_round"] == [{"requests": 2, "succeeded": 0}, {"requests": 2, "succeeded": 1}]
    assert found["saved"] == {"cache": 0, "duplicate": 3, "stored": 1}


def test_the_first_rounds_request_finds_the_answer_of_a_later_round(connect: Connect, tmp_path: Path) -> None:
    def say(custom_id: str, times: int, body: Any) -> Any:
        return BROKEN if times == 1 else Answer(asked(body))

    with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
        connect(sim)
        table = rows(range(3))
        done(job(tmp_path, sim, table, max_rounds=2), sim)
        assert done(job(tmp_path, sim, table, max_rounds=2), sim, day=2).value["saved"]["cache"] == 3
        assert len(sim.batches) == 2


def test_what_is_not_accepted_is_not_stored(sim: KimiSimulator, tmp_path: Path) -> None:
    def check(row: Any) -> str | None:
        return "no" if row["content"] == "review 1" else None

    with pytest.raises(AirflowFailException, match="max_failed_rows=0"):
        done(job(tmp_path, sim, rows(range(3)), check=check, max_failed_rows=0), sim)
    assert AnswerCache(f"{tmp_path}/cache").count().entries == 0
    done(job(tmp_path, sim, rows(range(3)), check=check), sim, number=2)
    assert AnswerCache(f"{tmp_path}/cache").count().entries == 2  # only what can be used
    assert len(sim.batches) == 1


def test_landing_again_after_a_clear_is_the_same_result_and_adds_no_answers(sim: KimiSimulator, tmp_path: Path) -> None:
    table = rows([1, 2, 1, 3])
    done(job(tmp_path, sim, rows([2])), sim)
    first = done(job(tmp_path, sim, table, dedupe=True), sim, day=2).value
    before, held = landed(tmp_path), AnswerCache(f"{tmp_path}/cache").count()
    again = done(job(tmp_path, sim, table, dedupe=True), sim, day=2, number=2).value
    assert (again, landed(tmp_path)) == (first, before)
    assert Counter(row["source"] for row in before) == {"cache": 1, "duplicate": 1, "batch": 2}
    assert AnswerCache(f"{tmp_path}/cache").count() == held
    assert len(sim.batches) == 2


def test_a_cache_that_cannot_be_written_is_a_warning(
    sim: KimiSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(row: Any) -> None:
        if (cache := tmp_path / "cache").is_dir():  # the cache was found, and is gone when its answers come
            cache.rmdir()
            cache.write_text("a file")

    attempt = done(job(tmp_path, sim, rows(range(3)), check=check), sim)
    assert attempt.value["counts"]["succeeded"] == 3
    assert "answers are not in cache" in capsys.readouterr().out


def test_rows_that_are_left_out_stand_in_a_result_that_sent_nothing(sim: KimiSimulator, tmp_path: Path) -> None:
    table = rows(range(4))
    done(job(tmp_path, sim, table), sim)
    table[2]["text"] = None
    found = done(job(tmp_path, sim, table, on_invalid_row="skip"), sim, day=2).value
    assert found["batch_ids"] == []
    assert [(row["custom_id"], row["status"], row["source"]) for row in landed(tmp_path)] == [
        *(("r0", "succeeded", "cache"), ("r1", "succeeded", "cache")),
        *(("r2", "invalid", None), ("r3", "succeeded", "cache")),
    ]


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_tables_have_the_source_of_each_row(sim: KimiSimulator, tmp_path: Path, output_format: str) -> None:
    table = [{**row, "source": "web"} for row in rows([1, 2, 1])]
    done(job(tmp_path, sim, table, dedupe=True, output_format=output_format), sim)
    path = tmp_path / "out" / f"results.{output_format}"
    if output_format == "csv":
        import csv

        with path.open(encoding="utf-8", newline="") as lines:
            found: Table = list(csv.DictReader(lines))
    else:
        from pyarrow import parquet

        found = parquet.read_table(path).to_pylist()
    assert [(row["source"], row["input_source"]) for row in found] == [
        *(("batch", "web"), ("batch", "web"), ("duplicate", "web")),
    ]


def test_the_results_operator_lands_the_batches_and_says_where_the_other_rows_are(
    sim: KimiSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rows([1, 2, 1])
    ids = done(job(tmp_path, sim, table, dedupe=True), sim).value["batch_ids"]
    task = KimiBatchResultsOperator(
        task_id="again", batch_id=ids, output=f"{tmp_path}/other", input=table, key_column="id"
    )
    found = run_task(task).value
    assert found["counts"]["total"] == 2
    assert "saved" not in found
    assert found["input_changes"]["added"] == 0  # the third row was asked, if not in a batch
    assert "in the output of task job of DAG reviews, run day1" in capsys.readouterr().out


def test_dead_letters_of_repeated_rows_are_merged_into_the_result(connect: Connect, tmp_path: Path) -> None:
    def say(custom_id: str, times: int, body: Any) -> Any:
        return BROKEN if asked(body) == "review 2" and times == 1 and custom_id == "r1" else Answer(asked(body))

    with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
        connect(sim)
        table = rows([1, 2, 1, 2])
        first = done(job(tmp_path, sim, table, dedupe=True), sim).value
        assert letters(tmp_path) == ["r1", "r3"]
        (tmp_path / "again").mkdir()
        dead = {"input": f"{tmp_path}/out/dead_letter.jsonl", "prompt": None, "key_column": None}
        again = done(job(tmp_path / "again", sim, [], cache=None, **dead), sim, day=2).value
        task = KimiBatchResultsOperator(
            task_id="merge", batch_id=again["batch_ids"], output=f"{tmp_path}/out", merge_with=f"{tmp_path}/out"
        )
        merged = run_task(task).value
    check_answers(found := landed(tmp_path), table)
    assert [row["source"] for row in found] == ["batch", "batch", "duplicate", "batch"]
    assert merged["saved"] == {"cache": 0, "duplicate": 1, "stored": first["saved"]["stored"]}
    assert merged["by_round"] == [{"requests": 2, "succeeded": 1}, {"requests": 2, "succeeded": 2}]
    assert merged["merged"] == {"taken": 2}
    assert (tmp_path / "out" / "saved.jsonl").exists()


def test_what_was_not_sent_is_not_landed_from_the_file_of_another_task(sim: KimiSimulator, tmp_path: Path) -> None:
    table = rows([1, 1, 2])
    done(job(tmp_path, sim, table, dedupe=True), sim)
    ids = list(sim.batches)
    done(job(tmp_path, sim, rows([3, 3]), dedupe=True), sim, day=2)  # takes the place of the result
    landing = Landing(ids, f"{tmp_path}/out")
    with pytest.raises(KimiResultError, match="is gone from"):
        collect(Calls(KimiHook(), LogRecord(), lambda seconds: None), landing)
    assert [row["text"] for row in landed(tmp_path)] == ["review 3", "review 3"]


def test_an_answer_of_the_cache_that_is_refused_at_the_landing_is_asked_again(connect: Connect, tmp_path: Path) -> None:
    refused: set[str] = set()

    def say(custom_id: str, times: int, body: Any) -> Answer:
        return Answer(f"{asked(body)[:8]}, again" if "could not be used" in asked(body) else asked(body))

    def check(row: Any) -> str | None:
        return "no longer good" if row["content"] in refused else None

    with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
        connect(sim)
        done(job(tmp_path, sim, rows([1])), sim)
        task = job(tmp_path, sim, rows([1, 2, 1]), dedupe=True, check=check, max_rounds=2)
        ti = TaskInstanceRecord(task_id="job", run_id="day2")
        found = tries(task, sim, at={1: lambda: refused.add("review 1")}, ti=ti).value
        assert asked_in(sim) == [["r0"], ["r1"], ["r0"]]
        result = landed(tmp_path)
        assert [(row["content"], row["source"], row["round"]) for row in result] == [
            *(("review 1, again", "batch", 2), ("review 2", "batch", 1), ("review 1, again", "duplicate", 2)),
        ]
        assert found["saved"] == {"cache": 0, "duplicate": 1, "stored": 2}
        assert found["usage"]["prompt_tokens"] == sum(row["prompt_tokens"] or 0 for row in result)
        refused.clear()
        paid = found["usage"]
        found = done(task, sim, day=2, number=2).value  # what is usable after all counts; what was paid stays paid
        assert [row["content"] for row in landed(tmp_path)] == ["review 1", "review 2", "review 1"]
        assert found["saved"] == {"cache": 1, "duplicate": 1, "stored": 1}
        assert found["usage"] == paid


def test_a_clear_leaves_no_saved_file_beside_a_result_that_is_the_only_copy(sim: KimiSimulator, tmp_path: Path) -> None:
    task = job(tmp_path, sim, rows([1, 1, 2]), dedupe=True, delete_remote_files=True)
    first = done(task, sim).value
    assert [done(task, sim, number=number).value for number in (2, 3)] == [first, first]
    assert len(sim.batches) == 1
    assert not list((tmp_path / "out").glob(".kimi-*"))


@pytest.mark.parametrize("damage", ["emptied", "edited"])
def test_a_retry_makes_good_a_saved_file_that_was_damaged_while_the_batch_ran(
    sim: KimiSimulator, tmp_path: Path, damage: str
) -> None:
    done(job(tmp_path, sim, rows(range(5))), sim)
    table = rows(range(8))
    task = job(tmp_path, sim, table)
    run_task(task, TaskInstanceRecord(task_id="job", run_id="day2"))  # it is killed while it waits
    (saved,) = (tmp_path / "out").glob(".kimi-saved-*")
    content = saved.read_bytes()
    saved.write_bytes(b"" if damage == "emptied" else content.replace(b"review 1", b"review 9"))
    landing = Landing(list(sim.batches)[1:], f"{tmp_path}/out")
    sim.advance(100)
    with pytest.raises(KimiResultError, match="or not as it was written"):
        collect(Calls(KimiHook(), LogRecord(), lambda seconds: None), landing)
    done(task, sim, day=2, number=2)
    check_answers(landed(tmp_path), table)
    assert [len(batch) for batch in asked_in(sim)] == [5, 3]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"review 1", b"half \\ud800"),
        (b"review 1", b"a \t tab"),
        (b'"request_id"', b'"x":NaN,"request_id"'),
        (b"}}", b'}},"custom_id":"r2"'),
        (b"}}", b'}},"twin":"r2"'),
    ],
)
def test_an_answer_that_would_break_the_line_of_its_saved_row_is_asked_again(
    sim: KimiSimulator, tmp_path: Path, old: bytes, new: bytes
) -> None:
    """Whoever may write into the cache has planted it, with its right checksum."""
    table = rows(range(3))
    done(job(tmp_path, sim, table), sim)
    cache = AnswerCache(f"{tmp_path}/cache")
    answer = json.dumps({"status_code": 200, "request_id": "", "body": {"choices": [CHOICE]}}, separators=(",", ":"))
    planted = answer.encode().replace(old, new)
    digests = [found.digest for found in cache.find(lambda digest: True) if b"review 1" in found.answer]
    cache.purge(timedelta(0))
    with cache.writer("evil") as writer:
        writer.add(digests[0], planted)
    done(job(tmp_path, sim, table), sim, day=2)
    check_answers(landed(tmp_path), table)
    assert asked_in(sim)[1] == ["r0", "r1", "r2"]
