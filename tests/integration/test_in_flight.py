"""At most so many batches of the one task run at a time; the others wait on the platform's disk for their turn."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.in_flight import event_of, resumed, running, to_end
from tests.support.rounds import (
    QUICK,
    Model,
    asked_in,
    check_sums,
    failing,
    job,
    letters,
    lines_of,
    results,
)
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task, run_to_end

ROWS = [f"r{number}" for number in range(7)]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_no_more_batches_run_than_may_and_all_are_landed_in_order(connect: Connect, tmp_path: Path, most: int) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        (tmp_path / "all").mkdir()
        whole = to_end(job(tmp_path / "all", 7, sim=sim, max_rows_per_batch=1, task_id="all"), sim).value
        before = len(sim.batches)
        counts: list[int] = []
        task = job(tmp_path, 7, sim=sim, max_rows_per_batch=1, max_in_flight=most)
        found = to_end(task, sim, at=lambda: counts.append(running(sim))).value
        assert max(counts) == most
        assert asked_in(sim)[before:] == [[row] for row in ROWS]
        assert found["batch_ids"] == list(sim.batches)[before:]
    assert list(results(tmp_path)) == ROWS
    assert found["counts"] == whole["counts"]
    check_sums(found, 7)
    uploads = [call for call in sim.journal if call.name == "upload_file"]
    assert len(uploads) == 14


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_trigger_and_the_worker_create_more_once_there_is_room(
    connect: Connect, tmp_path: Path, deferrable: bool
) -> None:
    with KimiSimulator(speed=10, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 5, sim=sim, max_rows_per_batch=1, max_in_flight=2, deferrable=deferrable)
        attempt = run_to_end(task)
        created = [batch.created_at for batch in sim.batches.values()]
        done = [batch.created_at + 7 for batch in sim.batches.values()]
    for at, number in zip(created, count(), strict=False):
        assert sum(other <= at < end for other, end in zip(created, done, strict=True)) <= 2, number
    assert list(results(tmp_path)) == ROWS[:5]
    assert attempt.ti.xcoms["batch_ids"] == attempt.value["batch_ids"]
    assert attempt.ti.xcoms["progress"]["to_come"] == 0


class Rows:
    """Rows that are other ones whenever they are read again, or cannot be read again."""

    def __init__(self, *, dies: bool = False) -> None:
        self.read = 0
        self._dies = dies

    def __call__(self) -> Iterator[dict[str, str]]:
        self.read += 1
        if self.read > 1 and self._dies:
            raise OSError("the cursor is closed")
        yield from ({"id": row, "text": f"{row} of reading {self.read}"} for row in ROWS)


@pytest.mark.parametrize("dies", [False, True])
def test_a_source_that_has_changed_or_died_meanwhile_is_not_read_again(
    connect: Connect, tmp_path: Path, dies: bool
) -> None:
    rows = Rows(dies=dies)
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, input=rows, max_rows_per_batch=2, max_in_flight=1)
        attempt = run_task(task)
        reads = rows.read
        while len(sim.batches) < 4:
            attempt = resumed(task, sim, attempt)
            assert rows.read == reads
        lines = [line for batch_id in sim.batches for line in lines_of(sim, batch_id)]
    assert [line["custom_id"] for line in lines] == ROWS
    assert len({str(line["body"]["messages"]).rpartition(" ")[2] for line in lines}) == 1


def test_a_retry_or_a_clear_attaches_and_creates_the_rest(connect: Connect, tmp_path: Path) -> None:
    """What was uploaded and never created is found by its name, and its proof takes no longer than one search."""
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 7, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        resumed(task, sim, run_task(task))
        assert len(sim.batches) == 4
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            sim.advance(seconds)

        task._sleep = pause
        second = run_task(task, TaskInstanceRecord(task_id="job", try_number=2))
        assert sum(pauses) < 90, "the proof, and twice the agreement with the first try"
        found = to_end(task, sim, second, 2).value
        uploads = [call for call in sim.journal if call.name == "upload_file"]
        assert asked_in(sim) == [[row] for row in ROWS]
    assert len(uploads) == 7
    assert found["batch_ids"] == list(sim.batches)
    assert list(results(tmp_path)) == ROWS


def test_a_clear_while_a_resumed_try_creates_makes_nothing_twice(connect: Connect, tmp_path: Path) -> None:
    """Airflow resumes the next try of a task that is cleared while it runs with the event of the try before."""
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 7, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        first = run_task(task)
        sim.advance(100)
        assert first.deferred is not None
        event, kwargs = event_of(first).to_dict(), json.loads(json.dumps(first.deferred.kwargs))
        resume_task(task, event, ti=first.ti, kwargs=kwargs)
        assert len(sim.batches) == 4
        second = resume_task(task, event, 2, kwargs=kwargs)
        to_end(task, sim, second, 2)
        assert asked_in(sim) == [[row] for row in ROWS]
    assert list(results(tmp_path)) == ROWS


def test_each_round_keeps_to_the_limit(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(0, 2, 3, 6, always=[4]))) as sim:
        connect(sim)
        counts: list[int] = []
        task = job(tmp_path, 7, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        found = to_end(task, sim, at=lambda: counts.append(running(sim))).value
        assert max(counts) == 2
        second = [["r0"], ["r2"], ["r3"], ["r4"], ["r6"]]
        assert asked_in(sim) == [*([row] for row in ROWS), *second, ["r4"]]
    assert letters(tmp_path) == ["r4"]
    assert list(results(tmp_path)) == ROWS
    check_sums(found, 7)
    assert [of_round["requests"] for of_round in found["by_round"]] == [7, 5, 1]


def test_a_clear_in_a_round_that_is_half_created_goes_on_with_it(connect: Connect, tmp_path: Path) -> None:
    model = Model(failing(0, 2, 3, 6, always=[4]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, 7, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        attempt = run_task(task)
        while len(sim.batches) < 9:
            attempt = resumed(task, sim, attempt)
        found = to_end(task, sim, number=2).value
        asked = asked_in(sim)
    assert sorted(asked[7:]) == [["r0"], ["r2"], ["r3"], ["r4"], ["r4"], ["r6"]]
    assert list(results(tmp_path)) == ROWS
    check_sums(found, 7)


@pytest.mark.parametrize("most", [None, 2])
def test_work_that_is_paid_afresh_keeps_the_mark_of_its_try(connect: Connect, tmp_path: Path, most: int | None) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        to_end(job(tmp_path, 5, sim=sim, max_rows_per_batch=1), sim)
        task = job(tmp_path, 5, sim=sim, max_rows_per_batch=1, max_in_flight=most, reuse="never")
        found = to_end(task, sim, number=2).value
        marks = {(batch.metadata or {}).get("kimi_attempt") for batch in list(sim.batches.values())[5:]}
        assert len(sim.batches) == 10
    assert len(marks) == 1
    assert None not in marks
    assert found["batch_ids"] == list(sim.batches)[5:]


def test_a_resume_without_its_arguments_attaches_and_creates_the_rest(connect: Connect, tmp_path: Path) -> None:
    """`dag.test()` gives back the event alone."""
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 5, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        attempt = run_task(task)
        while attempt.deferred is not None:
            sim.advance(100)
            attempt = resume_task(task, event_of(attempt).to_dict(), ti=attempt.ti)
        assert asked_in(sim) == [[row] for row in ROWS[:5]]
    assert list(results(tmp_path)) == ROWS[:5]


def test_what_is_left_to_create_is_small_and_holds_no_row(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        attempt = run_task(job(tmp_path, 100, sim=sim, max_rows_per_batch=1, max_in_flight=1))
    assert attempt.deferred is not None
    kept = json.dumps(attempt.deferred.kwargs)
    assert len(json.loads(kept)["pending"]["shards"]) == 99
    assert len(kept) < 20_000
    assert "review 7" not in kept
