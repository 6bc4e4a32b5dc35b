"""Rounds: rows without a usable answer are asked again, each once a round, and no row that is paid is asked again."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator, Timing
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.tasks import resume_task, run_task, run_to_end
from tests.support.triggers import fired

QUICK = Timing(validating_seconds=1, working_seconds=5, finalizing_seconds=1)

#: What the model answers to a row: its id, how often it was asked, and the body of the request.
Say = Callable[[str, int, Mapping[str, Any]], Answer | RowError | None]


class Model:
    """Answers by the row and by how often it was asked; notes every request."""

    def __init__(self, say: Say) -> None:
        self.asked: Counter[str] = Counter()
        self.bodies: dict[str, list[Mapping[str, Any]]] = {}
        self._say = say

    def __call__(self, request: Mapping[str, Any]) -> Answer | RowError | None:
        custom_id, body = request["custom_id"], request["body"]
        if body not in self.bodies.setdefault(custom_id, []):
            self.bodies[custom_id].append(body)
        self.asked[custom_id] += 1
        return self._say(custom_id, self.asked[custom_id], body)


def job(folder: Path, rows: int = 20, **parameters: Any) -> KimiBatchOperator:
    table = folder / "reviews.jsonl"
    table.write_text("".join(json.dumps({"id": f"r{n}", "text": f"review {n}"}) + "\n" for n in range(rows)))
    return KimiBatchOperator(
        **{
            **{"task_id": "job", "input": str(table), "output": f"{folder}/out", "key_column": "id"},
            **{"prompt": "Positive or negative? {text}", "max_rounds": 3, "poke_interval": 0.1, **parameters},
        }
    )


def lines_of(sim: KimiSimulator, batch_id: str) -> list[dict[str, Any]]:
    content = sim.file_content(str(sim.batches[batch_id].input_file_id))
    return [json.loads(line) for line in content.splitlines()]


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_bytes().splitlines()]


def test_rows_that_fail_are_asked_again_until_the_last_round(connect: Connect, tmp_path: Path) -> None:
    """3 of 100 rows fail once, 1 of 100 always."""

    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        number = int(custom_id[1:])
        fails = number % 100 == 99 or (number % 100 in (7, 8, 9) and times == 1)
        return RowError("server_error", "try again", 500) if fails else Answer("positive")

    model = Model(say)
    with KimiSimulator(speed=20, timing=QUICK, responder=model) as sim:
        connect(sim)
        manifest = run_to_end(job(tmp_path, rows=400)).value
        again = [[line["custom_id"] for line in lines_of(sim, batch_id)] for batch_id in manifest["batch_ids"]]
    always = [f"r{n}" for n in range(400) if n % 100 == 99]
    assert len(manifest["batch_ids"]) == manifest["rounds"] == 3
    assert [len(rows) for rows in again] == [400, 16, 4]
    assert again[2] == always
    assert manifest["by_round"] == [
        {"requests": 400, "succeeded": 384},
        {"requests": 16, "succeeded": 12},
        {"requests": 4, "succeeded": 0},
    ]
    assert manifest["counts"] | {"succeeded": 396, "failed": 4} == manifest["counts"]
    rows = results(tmp_path)
    assert [row["custom_id"] for row in rows] == [f"r{n}" for n in range(400)]
    assert Counter(row["round"] for row in rows if row["status"] == "succeeded") == {1: 384, 2: 12}
    letters = (tmp_path / "out" / "dead_letter.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["custom_id"] for line in letters] == always
    assert max(model.asked[row["custom_id"]] for row in rows if row["round"] == 1) == 1


SLOW = Timing(validating_seconds=0, working_seconds=100, finalizing_seconds=1, cancelling_seconds=1)


def cancelled_half_way(sim: KimiSimulator, task: KimiBatchOperator) -> Any:
    """Run a task until it waits, and cancel its batch, as a failed mark does; return the deferral."""
    deferred = run_task(task).deferred
    sim.advance(50)
    KimiHook().cancel_batch(next(iter(sim.batches)))
    sim.advance(10)
    return deferred


def filters_the_first(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
    return RowError("content_filter", "high risk") if custom_id == "r0" and times == 1 else Answer("positive")


def test_a_clear_asks_for_what_a_cancel_has_left(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW, responder=Model(filters_the_first)) as sim:
        connect(sim)
        cancelled_half_way(sim, job(tmp_path, max_rounds=2))
        assert run_task(job(tmp_path, max_rounds=2)).deferred is not None
        sim.advance(200)
        manifest = run_to_end(job(tmp_path, max_rounds=2)).value
    assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == 20
    assert manifest["by_round"][1]["requests"] == 20 - manifest["by_round"][0]["succeeded"] > 2


def test_a_cancel_that_comes_while_the_task_waits_is_the_last_of_its_rounds(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW, responder=Model(filters_the_first)) as sim:
        connect(sim)
        task = job(tmp_path)
        deferred = cancelled_half_way(sim, task)
        event = fired([deferred.trigger])[0].to_dict()
        with pytest.raises(KimiBatchError, match="Clear this task to ask only for the rows without an answer"):
            resume_task(task, event, kwargs=deferred.kwargs)
        assert len(sim.batches) == 1
    assert {row["status"] for row in results(tmp_path)} == {"succeeded", "filtered", "cancelled"}


def test_a_retry_goes_on_in_the_second_round_of_a_batch_that_expired(connect: Connect, tmp_path: Path) -> None:
    timing = Timing(validating_seconds=0, working_seconds=200_000, finalizing_seconds=1)
    with KimiSimulator(speed=0, timing=timing) as sim:
        connect(sim)
        assert run_task(job(tmp_path)).deferred is not None
        sim.advance(90_000)
        assert run_task(job(tmp_path)).deferred is not None  # in round 2
        assert run_task(job(tmp_path)).deferred is not None  # and so again, whatever kills the worker
        assert len(sim.batches) == 2
