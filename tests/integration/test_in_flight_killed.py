"""The one task is killed while some of its batches are still to be created: what it cancels, and what it keeps."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiStoppedError
from airflow_provider_kimi.kills.airflow import WAITING_TRY_KEY
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.in_flight import event_of, resumed, running, to_end
from tests.support.killed import killed_once
from tests.support.rounds import QUICK, Model, asked_in, failing, job, results
from tests.support.supervisor import Supervisor, supervised
from tests.support.tasks import TaskInstanceRecord, run_task

ROWS = [f"r{number}" for number in range(6)]


@pytest.mark.parametrize("state", ["failed", "success", "running"])
def test_a_kill_while_more_is_created_starts_nothing_more(connect: Connect, tmp_path: Path, state: str) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        operator = job(tmp_path, 6, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        first = run_task(operator)
        sim.advance(100)
        sim.inject("create_batch", hang_seconds=0.5, accepted=True)
        assert first.deferred is not None
        context: Any = {"ti": first.ti}
        operator.render_template_fields(context)
        with (
            supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})),
            killed_once(operator, lambda: [call.name for call in sim.journal].count("create_batch") > 2),
            pytest.raises(KimiStoppedError, match="Nothing more was uploaded or created"),
        ):
            operator.execute_complete(context, event_of(first).to_dict(), **(first.deferred.kwargs or {}))
        assert len(sim.batches) == 3, "the one that was under way is the last"
        last = sim.status(list(sim.batches)[-1])
        assert last.startswith("cancel") is (state == "failed")
        found = to_end(job(tmp_path, 6, sim=sim, max_rows_per_batch=1, max_in_flight=2), sim, number=2).value
        asked = [row for rows in asked_in(sim, "completed") for row in rows]
    assert sorted(asked) == ROWS
    assert found["counts"]["succeeded"] == 6
    assert list(results(tmp_path)) == ROWS


@pytest.mark.parametrize("state", ["failed", "success"])
async def test_a_mark_while_the_task_waits_for_its_own_batches_cancels_them_if_it_has_failed(
    connect: Connect, tmp_path: Path, state: str
) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 6, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        first = await asyncio.to_thread(run_task, task)
        second = await asyncio.to_thread(resumed, task, sim, first)
        assert second.deferred is not None
        trigger: Any = second.deferred.trigger
        trigger.task_instance = second.ti
        with supervised(Supervisor({"job": state}, {("job", -1, WAITING_TRY_KEY): 1})):
            await trigger.on_kill()
        cancelled = [call.path.split("/")[3] for call in sim.journal if call.name == "cancel_batch"]
        assert sorted(cancelled) == (sorted(list(sim.batches)[2:]) if state == "failed" else [])


async def test_a_task_that_waits_for_room_without_a_batch_can_be_killed(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, behaviour=Behaviour(max_active_batches=0)) as sim:
        connect(sim)
        first = await asyncio.to_thread(run_task, job(tmp_path, 6, sim=sim, max_rows_per_batch=1, poke_interval=600))
        assert first.deferred is not None
        trigger: Any = first.deferred.trigger
        trigger.task_instance = first.ti
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.2)
        with supervised(Supervisor({"job": "failed"}, {("job", -1, WAITING_TRY_KEY): 1})):
            await trigger.on_kill()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert "cancel_batch" not in [call.name for call in sim.journal]
        assert not sim.batches


def test_a_create_that_fails_for_good_says_what_runs_and_what_a_clear_does(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 6, sim=sim, max_rows_per_batch=1, max_in_flight=2)
        first = run_task(task)
        sim.inject("create_batch", status=403, error_type="permission_denied_error", message="no", times=1)
        with pytest.raises(Exception, match=r"2 of the 6 batches of this task exist, go on .*A retry or a clear"):
            resumed(task, sim, first)
        found = to_end(task, sim, number=2).value
        asked = asked_in(sim)
    assert sorted(asked) == [[row] for row in ROWS]
    assert found["counts"]["succeeded"] == 6


@pytest.mark.parametrize("policy", ["keep", "cancel"])
def test_a_final_failure_does_with_what_runs_what_was_asked_for(connect: Connect, tmp_path: Path, policy: Any) -> None:
    with KimiSimulator(speed=0, responder=Model(failing())) as sim:
        connect(sim)
        task = job(tmp_path, 6, sim=sim, max_rows_per_batch=1, max_in_flight=2, on_final_failure=policy)
        first = run_task(task)
        sim.batches[next(iter(sim.batches))].expires_at = 0.0
        sim.inject("create_batch", status=403, error_type="permission_denied_error", message="no", times=1)
        assert first.deferred is not None
        with pytest.raises(Exception, match="batches of this task exist"):
            resumed_at_once(task, first)
        assert running(sim) == 1
        last = sim.status(list(sim.batches)[1])
        assert last.startswith("cancel") is (policy == "cancel")


def resumed_at_once(task: Any, first: Any) -> None:
    context: Any = {"ti": TaskInstanceRecord(task_id="job")}
    task.render_template_fields(context)
    task.execute_complete(context, event_of(first).to_dict(), **first.deferred.kwargs)


def test_equal_siblings_of_a_mapped_task_share_what_is_created_later(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        tasks = []
        for index in range(2):
            (tmp_path / str(index)).mkdir()
            tasks.append(job(tmp_path / str(index), 5, sim=sim, max_rows_per_batch=1, max_in_flight=2))
        waits = [run_task(each, TaskInstanceRecord(task_id="job", map_index=index)) for index, each in enumerate(tasks)]
        while any(wait.deferred for wait in waits):
            for index, wait in enumerate(waits):
                if wait.deferred is not None:
                    waits[index] = resumed(tasks[index], sim, wait)
        done = [row for rows in asked_in(sim, "completed") for row in rows]
    assert sorted(done) == ROWS[:5], "each is paid once"
    assert waits[0].value["batch_ids"] == waits[1].value["batch_ids"]
    assert results(tmp_path / "0") == results(tmp_path / "1")
