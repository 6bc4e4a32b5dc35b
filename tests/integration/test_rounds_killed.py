"""The one task is mapped, timed out, or killed in a round: what it cancels, and what it keeps."""

import asyncio
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, TaskGroup, task

from airflow_provider_kimi.exceptions import KimiStoppedError
from airflow_provider_kimi.kills.airflow import WAITING_FOR_KEY, WAITING_TRY_KEY
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.killed import killed_once
from tests.support.rounds import QUICK, Model, asked_in, ended, failing, job, newest, results, tries
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task

#: What a waiting task notes.
NOTED = (WAITING_TRY_KEY, WAITING_FOR_KEY)


def in_second_round(task: Any, sim: KimiSimulator, **ti: Any) -> Any:
    """Bring the task to the wait of its second round."""
    first = run_task(task, TaskInstanceRecord(task_id=task.task_id, **ti))
    assert first.deferred is not None
    sim.advance(100)
    return resume_second(task, first)


def resume_second(task: Any, first: Any) -> Any:
    _, arguments = first.deferred.trigger.serialize()
    event = ended(arguments["batch_ids"], 1).to_dict()
    return resume_task(task, event, 1, ti=first.ti, kwargs=first.deferred.kwargs)


@pytest.mark.parametrize("state", ["failed", "success"])
async def test_a_mark_in_the_second_round_cancels_its_batch_if_the_task_has_failed(
    connect: Connect, tmp_path: Path, state: str
) -> None:
    """The triggerer does it; the batch of the first round has ended, and nothing is asked of it."""
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(1))) as sim:
        connect(sim)
        second = await asyncio.to_thread(in_second_round, job(tmp_path, sim=sim), sim)
        trigger = second.deferred.trigger
        trigger.task_instance = second.ti
        with supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})):
            await trigger.on_kill()
        cancelled = [call.path.split("/")[3] for call in sim.journal if call.name == "cancel_batch"]
        assert cancelled == ([newest(sim).id] if state == "failed" else [])


@pytest.mark.parametrize("state", ["failed", "success", "running"])
def test_a_kill_during_the_create_of_a_round_starts_nothing_more(connect: Connect, tmp_path: Path, state: str) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(1, 4, 7))) as sim:
        connect(sim)
        operator = job(tmp_path, rows=9, sim=sim, max_rows_per_batch=3)
        first = run_task(operator)
        sim.advance(100)
        sim.inject("create_batch", hang_seconds=0.5, accepted=True, times=None)
        assert first.deferred is not None
        event, kwargs = ended(sim.batches, 1).to_dict(), first.deferred.kwargs or {}
        context: Any = {"ti": first.ti}
        operator.render_template_fields(context)
        with (
            supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})),
            killed_once(operator, lambda: [call.name for call in sim.journal].count("create_batch") > 4),
            pytest.raises(KimiStoppedError, match="Nothing more was uploaded or created"),
        ):
            operator.execute_complete(context, event, **kwargs)
        assert len(sim.batches) == 5, "the one that was under way is the last"
        statuses = [sim.status(batch_id) for batch_id in list(sim.batches)[3:]]
        assert all(status.startswith("cancel") for status in statuses) is (state == "failed")


def test_a_task_in_its_worker_that_is_marked_failed_in_a_round_cancels_its_batch(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(timing=Timing(1, 50_000, 1, 0.1), responder=Model(failing(1))) as sim:
        connect(sim)
        first = run_task(job(tmp_path, sim=sim))
        assert first.deferred is not None
        sim.advance(60_000)
        operator = job(tmp_path, sim=sim, deferrable=False)
        context: Any = {"ti": first.ti}
        operator.render_template_fields(context)
        event = ended(sim.batches, 1).to_dict()
        with (
            supervised(Supervisor({"job": "failed"}, {("job", -1, WAITING_TRY_KEY): 1})),
            killed_once(operator, lambda: sim.journal[-1].path.endswith(newest(sim).id) and len(sim.batches) == 2),
            pytest.raises(AirflowException, match="did not complete"),
        ):
            operator.execute_complete(context, event, **(first.deferred.kwargs or {}))
        assert [sim.status(batch_id) for batch_id in sim.batches] == ["completed", "cancelled"]


def test_the_time_of_a_wait_counts_anew_in_each_round(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(1))) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, timeout=3600, execution_timeout=timedelta(hours=2))
        first = run_task(task)
        assert first.deferred is not None
        sim.advance(100)
        second = resume_second(task, first)
        deadlines = [wait.trigger.serialize()[1]["deadline"] for wait in (first.deferred, second.deferred)]
    assert 0 < deadlines[1] - deadlines[0] < 3600


def test_equal_siblings_of_a_mapped_task_share_the_batches_of_every_round(connect: Connect, tmp_path: Path) -> None:
    """The second one comes when the first is done, or while both wait for the second round."""
    model = Model(failing(1, always=[2]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        (tmp_path / "0").mkdir()
        (tmp_path / "1").mkdir()
        tasks = [job(tmp_path / str(index), sim=sim) for index in range(2)]
        waits = [run_task(each, TaskInstanceRecord(task_id="job", map_index=index)) for index, each in enumerate(tasks)]
        sim.advance(100)
        while any(wait.deferred for wait in waits):
            waits = [resume_second(each, wait) for each, wait in zip(tasks, waits, strict=True)]
            sim.advance(100)
        assert asked_in(sim)[1:] == [["r1", "r2"], ["r2"]]
    assert waits[0].value["batch_ids"] == waits[1].value["batch_ids"]
    assert results(tmp_path / "0") == results(tmp_path / "1")


@pytest.mark.parametrize("action", ["failed", "success", "restarting"])
def test_an_action_on_one_of_two_equal_siblings_cancels_nothing_that_the_other_waits_for(
    connect: Connect, tmp_path: Path, action: str
) -> None:
    """Both wait for the second round; the one is cleared afterwards, and the other goes on."""
    model = Model(failing(1, always=[2]))
    with KimiSimulator(speed=0, timing=Timing(1, 60, 1), responder=model) as sim:
        connect(sim)
        (tmp_path / "0").mkdir()
        (tmp_path / "1").mkdir()
        tasks = [job(tmp_path / str(index), sim=sim, max_rounds=2) for index in range(2)]
        waits = [run_task(each, TaskInstanceRecord(task_id="job", map_index=index)) for index, each in enumerate(tasks)]
        sim.advance(100)
        waits = [resume_second(each, wait) for each, wait in zip(tasks, waits, strict=True)]
        assert waits[0].deferred is not None
        trigger = waits[0].deferred.trigger
        trigger.task_instance = waits[0].ti
        noted = {("job", index, key): waits[index].ti.xcoms[key] for index in range(2) for key in NOTED}
        with supervised(Supervisor({"job_0": action, "job_1": "deferred"}, noted)):
            asyncio.run(trigger.on_kill())
        assert "cancel_batch" not in [call.name for call in sim.journal]
        again = tries(tasks[0], sim, ti=TaskInstanceRecord(task_id="job", map_index=0, try_number=2))
        sim.advance(100)
        other = resume_second(tasks[1], waits[1])
        assert asked_in(sim)[1:] == [["r1", "r2"]]
    assert again.value["batch_ids"] == other.value["batch_ids"]
    assert results(tmp_path / "0") == results(tmp_path / "1")


def test_a_mapped_task_of_a_task_group_has_rounds_of_its_own(connect: Connect, tmp_path: Path) -> None:
    """Also `@task.kimi_batch`, whose function is called with what the task was mapped over."""

    def rows(day: str) -> list[dict[str, str]]:
        return [{"id": f"r{number}", "text": f"{day} {number}"} for number in range(4)]

    model = Model(failing(1, 5))
    with DAG("reviews", schedule=None), KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        with TaskGroup("group"):
            made: Any = task.kimi_batch(
                output=str(tmp_path / "out"), prompt="{text}", key_column="id", max_rounds=2, poke_interval=0.1
            )(rows)
            operator = made("monday").operator
        operator._sleep = sim.advance
        assert operator.task_id == "group.rows"
        found = tries(operator, sim, ti=TaskInstanceRecord(task_id=operator.task_id, map_index=3)).value
        assert asked_in(sim) == [["r0", "r1", "r2", "r3"], ["r1"]]
    assert found["counts"]["succeeded"] == 4
    assert SimpleNamespace(**found).landed_by["map_index"] == "3"
