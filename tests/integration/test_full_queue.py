"""A full queue and a refusal for money mean: later. Nothing fails, nothing is paid twice, no row is lost."""

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.in_flight import resumed, running, to_end
from tests.support.rounds import QUICK, Model, asked_in, failing, job, results
from tests.support.tasks import TaskInstanceRecord, run_task, run_to_end

ROWS = [f"r{number}" for number in range(6)]


@pytest.mark.parametrize("full_queue", ["refused", "failed"])
@pytest.mark.parametrize("limit", [{"max_active_batches": 2}, {"max_queued_rows": 3}])
def test_a_full_queue_is_waited_for(connect: Connect, tmp_path: Path, full_queue: str, limit: dict[str, int]) -> None:
    behaviour = Behaviour(full_queue=full_queue, **limit)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing()), behaviour=behaviour) as sim:
        connect(sim)
        found = to_end(job(tmp_path, 6, sim=sim, max_rows_per_batch=1), sim).value
        done = [batch_id for batch_id in sim.batches if sim.status(batch_id) == "completed"]
        uploads = [call for call in sim.journal if call.name == "upload_file"]
    assert len(done) == 6
    assert sorted(found["batch_ids"]) == sorted(done)
    assert list(results(tmp_path)) == ROWS
    assert found["status"] == "completed"
    assert len(uploads) == 6


def test_a_full_queue_holds_no_worker_slot_while_it_is_waited_for(connect: Connect, tmp_path: Path) -> None:
    """The trigger of a task that has no batch yet fires by the time alone."""
    behaviour = Behaviour(max_active_batches=1)
    timing = Timing(validating_seconds=1, working_seconds=100, finalizing_seconds=1)
    with KimiSimulator(speed=20, timing=timing, responder=Model(failing()), behaviour=behaviour) as sim:
        connect(sim)
        (tmp_path / "0").mkdir()
        run_task(job(tmp_path / "0", 1, sim=sim, task_id="first", poke_interval=None))
        attempt = run_task(job(tmp_path, 2, sim=sim, max_rows_per_batch=1, poke_interval=1))
        assert attempt.deferred is not None
        _, arguments = attempt.deferred.trigger.serialize()
        assert (arguments["batch_ids"], arguments["to_come"]) == ([], 2)
        found = run_to_end(job(tmp_path, 2, sim=sim, max_rows_per_batch=1, poke_interval=1)).value
        assert len(sim.batches) == 3
    assert found["counts"]["succeeded"] == 2


def test_a_worker_that_waits_itself_waits_for_room_too(connect: Connect, tmp_path: Path) -> None:
    behaviour = Behaviour(max_active_batches=1)
    with KimiSimulator(speed=20, timing=QUICK, responder=Model(failing()), behaviour=behaviour) as sim:
        connect(sim)
        task = job(tmp_path, 3, sim=sim, max_rows_per_batch=1, poke_interval=0.3, deferrable=False)
        found = run_task(task).value
    assert found["counts"]["succeeded"] == 3
    assert list(results(tmp_path)) == ROWS[:3]


@pytest.mark.parametrize("lacking_money", ["refused", "failed"])
def test_money_that_is_short_is_waited_for(connect: Connect, tmp_path: Path, lacking_money: str) -> None:
    behaviour = Behaviour(reserve_balance=True, lacking_money=lacking_money)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing()), behaviour=behaviour, balance=0.001) as sim:
        connect(sim)
        task = job(tmp_path, 4, sim=sim, max_rows_per_batch=1)
        attempt = run_task(task)
        assert attempt.deferred is not None
        assert running(sim) == 0
        sim.top_up(1000)
        found = to_end(task, sim, attempt).value
        assert running(sim) == 0
    assert found["counts"]["succeeded"] == 4
    assert list(results(tmp_path)) == ROWS[:4]


@pytest.mark.parametrize("lacking_money", ["refused", "failed"])
def test_an_account_without_money_fails_the_task_at_once(connect: Connect, tmp_path: Path, lacking_money: str) -> None:
    behaviour = Behaviour(lacking_money=lacking_money)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, behaviour=behaviour, balance=0.0) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException, match="Top up the account|the most common cause is the balance"):
            to_end(job(tmp_path, 4, sim=sim, max_rows_per_batch=1), sim)


@pytest.mark.parametrize("lacking_money", ["refused", "failed"])
def test_a_shard_that_the_balance_never_allows_is_halved(connect: Connect, tmp_path: Path, lacking_money: str) -> None:
    """The balance is enough for a third of a shard: 32,768 tokens for each of its rows are reserved."""
    behaviour = Behaviour(reserve_balance=True, lacking_money=lacking_money)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing()), behaviour=behaviour, balance=9.0) as sim:
        connect(sim)
        found = to_end(job(tmp_path, 96, sim=sim, max_rows_per_batch=48), sim).value
        asked = [row for rows in asked_in(sim, "completed") for row in rows]
    assert sorted(asked) == sorted(f"r{number}" for number in range(96)), "each once"
    assert list(results(tmp_path)) == [f"r{number}" for number in range(96)]
    assert len(found["batch_ids"]) == 8
    assert found["counts"]["succeeded"] == 96


@pytest.mark.parametrize("full_queue", ["refused", "failed"])
def test_a_shard_that_is_larger_than_the_queue_is_halved(connect: Connect, tmp_path: Path, full_queue: str) -> None:
    behaviour = Behaviour(max_queued_rows=30, full_queue=full_queue)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing(3, 40)), behaviour=behaviour) as sim:
        connect(sim)
        found = to_end(job(tmp_path, 50, sim=sim), sim).value
        again = to_end(job(tmp_path, 50, sim=sim), sim, number=2).value
    assert list(results(tmp_path)) == [f"r{number}" for number in range(50)]
    assert found["counts"]["succeeded"] == 50
    assert again["batch_ids"] == found["batch_ids"]


@pytest.mark.parametrize("lacking_money", ["refused", "failed"])
def test_a_balance_that_refuses_even_a_few_rows_fails_the_task(
    connect: Connect, tmp_path: Path, lacking_money: str
) -> None:
    behaviour = Behaviour(reserve_balance=True, lacking_money=lacking_money)  # type: ignore[arg-type]
    with KimiSimulator(speed=0, timing=QUICK, behaviour=behaviour, balance=0.001) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException, match="Top up the account|the most common cause is the balance"):
            to_end(job(tmp_path, 40, sim=sim), sim)
        assert len(sim.batches) < 20


def test_a_clear_while_a_queue_is_full_sends_nothing_twice(connect: Connect, tmp_path: Path) -> None:
    behaviour = Behaviour(max_active_batches=2, full_queue="failed")
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing()), behaviour=behaviour) as sim:
        connect(sim)
        task = job(tmp_path, 6, sim=sim, max_rows_per_batch=1)
        resumed(task, sim, resumed(task, sim, run_task(task)))
        found = to_end(task, sim, number=2).value
        done = [batch_id for batch_id in sim.batches if sim.status(batch_id) == "completed"]
        uploads = [call for call in sim.journal if call.name == "upload_file"]
    assert sorted(found["batch_ids"]) == sorted(done)
    assert len(done) == 6
    assert len(uploads) == 6
    assert list(results(tmp_path)) == ROWS


def test_a_wait_for_room_ends_with_the_time_of_the_wait(connect: Connect, tmp_path: Path) -> None:
    """Each look in vain takes from the same hour; what was not created costs nothing."""
    behaviour = Behaviour(max_active_batches=0)
    with KimiSimulator(speed=20, timing=QUICK, behaviour=behaviour) as sim:
        connect(sim)
        task = job(tmp_path, 2, sim=sim, max_rows_per_batch=1, timeout=3, poke_interval=1, deferrable=False)
        with pytest.raises(AirflowSensorTimeout, match=r"no room for all batches.*2 more were not created"):
            run_task(task)
        assert not sim.batches


def test_a_round_waits_for_room_too(connect: Connect, tmp_path: Path) -> None:
    behaviour = Behaviour(max_active_batches=2, full_queue="failed")
    model = Model(failing(0, 1, 2, 4))
    with KimiSimulator(speed=0, timing=QUICK, responder=model, behaviour=behaviour) as sim:
        connect(sim)
        found = to_end(job(tmp_path, 6, sim=sim, max_rows_per_batch=1), sim).value
    assert found["counts"]["succeeded"] == 6
    assert sum(model.asked.values()) == 10


class TestTheLimitOfAConnection:
    def test_two_tasks_share_the_room(self, connect: Connect, tmp_path: Path) -> None:
        with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
            connect(sim, max_in_flight=3)
            folders = [tmp_path / "0", tmp_path / "1"]
            for folder in folders:
                folder.mkdir()
            tasks = [
                job(folder, 6, sim=sim, max_rows_per_batch=1, task_id=f"job{folder.name}", max_in_flight=most)
                for folder, most in zip(folders, (2, None), strict=True)
            ]
            attempts = [run_task(task, TaskInstanceRecord(task_id=task.task_id)) for task in tasks]
            assert running(sim) == 3
            while any(attempt.deferred for attempt in attempts):
                for at, attempt in enumerate(attempts):
                    if attempt.deferred is not None:
                        attempts[at] = resumed(tasks[at], sim, attempt)
                        assert running(sim) <= 3
            assert len(sim.batches) == 12
        for folder in folders:
            assert list(results(folder)) == ROWS

    def test_a_task_whose_own_batch_has_ended_waits_a_turn_like_all_others(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
            connect(sim, max_in_flight=1)
            task = job(tmp_path, 3, sim=sim, max_rows_per_batch=1, max_in_flight=1, poke_interval=600)
            first = run_task(task)
            assert first.deferred is not None
            assert first.deferred.trigger.serialize()[1]["look_at"] is None
            second = resumed(task, sim, first)
            assert second.deferred is not None
            assert second.deferred.trigger.serialize()[1]["look_at"] is not None
            assert len(sim.batches) == 1
            resumed(task, sim, second)
            assert len(sim.batches) == 2
            assert asked_in(sim) == [["r0"], ["r1"]]


@pytest.mark.parametrize("full_queue", ["refused", "failed"])
def test_a_shard_that_only_waits_for_the_tasks_own_batches_is_not_halved(
    connect: Connect, tmp_path: Path, full_queue: str
) -> None:
    """The queue has room for one shard at a time; the second one is refused often while the first one runs."""
    behaviour = Behaviour(max_queued_rows=25, full_queue=full_queue)  # type: ignore[arg-type]
    timing = Timing(validating_seconds=1, working_seconds=1000, finalizing_seconds=1)
    with KimiSimulator(speed=0, timing=timing, responder=Model(failing()), behaviour=behaviour) as sim:
        connect(sim)
        to_end(job(tmp_path, 40, sim=sim, max_rows_per_batch=20), sim)
        assert [len(rows) for rows in asked_in(sim, "completed")] == [20, 20]
        refused = [call for call in sim.journal if call.name == "create_batch"]
        assert len(refused) > (5 if full_queue == "refused" else 2)


def test_a_queue_that_accepts_and_fails_is_waited_for_no_longer_than_the_time_of_the_wait(
    connect: Connect, tmp_path: Path
) -> None:
    behaviour = Behaviour(max_active_batches=0, full_queue="failed")
    with KimiSimulator(speed=20, timing=QUICK, behaviour=behaviour) as sim:
        connect(sim)
        task = job(tmp_path, 2, sim=sim, max_rows_per_batch=1, timeout=40, poke_interval=0.5, deferrable=False)
        with pytest.raises(AirflowSensorTimeout, match=r"no room for all batches.*2 more were not created"):
            run_task(task)
