"""A pilot is asked alone; its answers decide whether the rest is asked, and its rows are asked once."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.in_flight import event_of, resumed, to_end
from tests.support.rounds import QUICK, YES, Model, asked_in, check_sums, failing, job, manifest, results
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task, run_to_end

ROWS = [f"r{number}" for number in range(10)]


def piloted(folder: Path, sim: KimiSimulator, **parameters: Any) -> Any:
    return job(folder, sim=sim, **{"pilot_rows": 3, "max_rounds": 1, **parameters})


def pilot_of(folder: Path) -> list[str]:
    lines = (folder / "out" / "pilot" / "results.jsonl").read_bytes().splitlines()
    return [json.loads(line)["custom_id"] for line in lines]


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_rest_is_asked_once_the_pilot_has_passed(connect: Connect, tmp_path: Path, deferrable: bool) -> None:
    with KimiSimulator(speed=0 if deferrable else 1000, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = piloted(tmp_path, sim, deferrable=deferrable)
        found = to_end(task, sim).value
        assert asked_in(sim) == [ROWS[:3], ROWS[3:]]
    assert found["batch_ids"] == list(sim.batches)
    assert pilot_of(tmp_path) == ROWS[:3]
    assert list(results(tmp_path)) == ROWS
    check_sums(found, 10)


def test_nothing_but_the_pilot_runs_until_it_has_ended(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = piloted(tmp_path, sim, max_rows_per_batch=4)
        first = run_task(task, TaskInstanceRecord(task_id="job"))
        assert asked_in(sim) == [ROWS[:3]]
        assert not list((tmp_path / "out").iterdir())
        second = resumed(task, sim, first)
        assert asked_in(sim) == [ROWS[:3], ROWS[3:7], ROWS[7:]]
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert resumed(task, sim, second).value["counts"]["succeeded"] == 10


@pytest.mark.parametrize("full_queue", ["refused", "failed"])
def test_a_pilot_that_has_passed_is_landed_once_however_long_there_is_no_room_for_the_rest(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str], full_queue: str
) -> None:
    behaviour = Behaviour(max_active_batches=1, full_queue=full_queue)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing()), behaviour=behaviour) as sim:
        connect(sim)
        task = piloted(tmp_path, sim)
        attempt = run_task(task, TaskInstanceRecord(task_id="job"))
        for other in ("one", "two", "three"):
            sim.advance(100)
            (tmp_path / other).mkdir()
            run_task(job(tmp_path / other, 1, sim=sim, task_id=other))
            assert attempt.deferred is not None
            kwargs = attempt.deferred.kwargs
            attempt = resume_task(task, event_of(attempt).to_dict(), ti=attempt.ti, kwargs=kwargs)
        assert to_end(task, sim, attempt).value["counts"]["succeeded"] == 10
    assert capsys.readouterr().out.count("The pilot passed") == 1


def test_a_pilot_as_large_as_the_job_is_the_job(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        assert to_end(piloted(tmp_path, sim, pilot_rows=10), sim).value["counts"]["succeeded"] == 10
        assert asked_in(sim) == [ROWS]
    assert not (tmp_path / "out" / "pilot").exists()


@pytest.mark.parametrize(
    ("say", "parameters", "why"),
    [
        pytest.param(failing(0), {}, "33.33% unusable rows are more than the limit of a pilot=0.2", id="failed rows"),
        pytest.param(failing(0), {"max_failed_ratio": 0.1}, "more than max_failed_ratio=0.1", id="the task's limit"),
        pytest.param(failing(0), {"max_failed_rows": 0}, "1 unusable rows are more than max_failed_rows=0", id="rows"),
        pytest.param(
            lambda *_: Answer("perhaps"), {"output_schema": ["positive", "negative"]}, "100.00% unusable", id="schema"
        ),
        pytest.param(lambda *_: YES, {"check": lambda row: "no"}, "100.00% unusable", id="check"),
    ],
)
def test_a_pilot_that_does_not_pass_ends_the_task_before_the_rest_is_asked(
    connect: Connect, tmp_path: Path, say: Any, parameters: dict[str, Any], why: str
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(say)) as sim:
        connect(sim)
        attempt = run_task(piloted(tmp_path, sim, **parameters), TaskInstanceRecord(task_id="job"))
        with pytest.raises(AirflowFailException) as failed:
            resumed(piloted(tmp_path, sim, **parameters), sim, attempt)
        assert asked_in(sim) == [ROWS[:3]]
    text = str(failed.value)
    assert "The pilot did not pass" in text
    assert why in text
    assert "The other 7 rows were not asked, and cost nothing." in text
    assert attempt.ti.xcoms["manifest"]["counts"]["total"] == 3
    assert pilot_of(tmp_path) == ROWS[:3]
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_earlier_result_stays_as_it_is_if_the_pilot_does_not_pass(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        before = to_end(job(tmp_path, sim=sim), sim).value
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(0, 1))) as sim:
        connect(sim)
        task = piloted(tmp_path, sim)
        with pytest.raises(AirflowFailException, match="The pilot did not pass"):
            to_end(task, sim)
    assert manifest(tmp_path) == before


def test_a_clear_with_higher_limits_goes_on_and_asks_no_row_of_the_pilot_again(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(failing(0))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException):
            to_end(piloted(tmp_path, sim), sim)
        found = to_end(piloted(tmp_path, sim, max_failed_ratio=0.5), sim, number=2).value
        assert asked_in(sim) == [ROWS[:3], ROWS[3:]]
        assert found["counts"]["failed"] == 1
    assert set(model.asked.values()) == {1}


@pytest.mark.parametrize("stage", [1, 2])
def test_a_try_that_dies_in_a_stage_is_gone_on_with(connect: Connect, tmp_path: Path, stage: int) -> None:
    model = Model(failing())
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = piloted(tmp_path, sim, max_rows_per_batch=4)
        attempt = run_task(task, TaskInstanceRecord(task_id="job"))
        if stage == 2:
            resumed(task, sim, attempt)
        sim.advance(20)
        found = to_end(task, sim, number=2).value
        assert asked_in(sim) == [ROWS[:3], ROWS[3:7], ROWS[7:]]
        assert found["counts"]["succeeded"] == 10
        again = to_end(task, sim, number=3).value
        assert again["batch_ids"] == found["batch_ids"] == list(sim.batches)
    assert set(model.asked.values()) == {1}


def test_rows_of_a_pilot_that_passed_are_asked_again_in_the_rounds(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(1, 8))) as sim:
        connect(sim)
        found = to_end(piloted(tmp_path, sim, pilot_rows=5, max_rounds=3), sim).value
        assert asked_in(sim) == [ROWS[:5], ROWS[5:], ["r1"], ["r8"]]
        check_sums(found, 10)
        assert found["counts"]["succeeded"] == 10


def test_a_pilot_by_whose_price_all_rows_cost_too_much_ends_the_task(connect: Connect, tmp_path: Path) -> None:
    """The limit was set while the pilot ran; one that was set before has refused what the longest answers cost."""
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        attempt = run_task(piloted(tmp_path, sim), TaskInstanceRecord(task_id="job"))
        with pytest.raises(AirflowFailException, match=r"all 10 rows would cost .* more than max_cost="):
            resumed(piloted(tmp_path, sim, max_cost=0.0001), sim, attempt)
        assert asked_in(sim) == [ROWS[:3]]


def test_a_pilot_waits_in_real_triggers_too(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=200, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        found = run_to_end(piloted(tmp_path, sim, max_in_flight=1, max_rows_per_batch=4)).value
        assert asked_in(sim) == [ROWS[:3], ROWS[3:7], ROWS[7:]]
        assert found["counts"]["succeeded"] == 10
