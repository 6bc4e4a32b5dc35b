"""Retries and clears of the one task with rounds: they go on where the rounds stood, and pay nothing twice."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.rounds import (
    BROKEN,
    QUICK,
    Model,
    asked_in,
    check_sums,
    expire,
    failing,
    job,
    letters,
    results,
    tries,
)
from tests.support.tasks import TaskInstanceRecord

#: How the list of batches may be.
LISTS = {
    "honest list": Behaviour(),
    "lagging list": Behaviour(list_lag_seconds=8),
    "no metadata": Behaviour(list_metadata=False),
    "lagging, no metadata": Behaviour(list_metadata=False, list_lag_seconds=8),
    "oldest first": Behaviour(list_order="oldest_first", max_list_limit=2),
}


class Gone(BaseException):
    """The worker is gone."""


@pytest.mark.parametrize("behaviour", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("shards", [1, 2])
def test_a_clear_of_a_task_that_used_its_rounds_asks_nothing_again(
    connect: Connect, tmp_path: Path, behaviour: Behaviour, shards: int
) -> None:
    model = Model(failing(1, 2, always=[3]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model, behaviour=behaviour) as sim:
        connect(sim)
        task = job(tmp_path, rows=8, sim=sim, max_rows_per_batch=8 // shards)
        first = tries(task, sim).value
        made, asked = list(sim.batches), dict(model.asked)
        again = tries(task, sim, 2).value
        assert list(sim.batches) == made
        assert model.asked == asked
    assert again["counts"] == first["counts"]
    assert again["batch_ids"] == first["batch_ids"]
    assert letters(tmp_path) == ["r3"]
    check_sums(again, 8)


def test_a_clear_after_the_first_batch_expired_goes_on_with_the_rounds(connect: Connect, tmp_path: Path) -> None:
    """The rows that were done are not asked again, in the second round or after a clear."""
    model = Model(failing())
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        first = tries(task, sim, at={1: expire(sim)}).value
        assert first["counts"]["succeeded"] == 10
        assert max(model.asked.values()) == 1
        made = list(sim.batches)
        assert len(made) == 2
        again = tries(task, sim, 2).value
        assert list(sim.batches) == made
    assert (again["batch_ids"], again["counts"]) == (first["batch_ids"], first["counts"])


def test_a_round_of_which_one_shard_could_not_be_created_goes_on_with_that_shard(
    connect: Connect, tmp_path: Path
) -> None:
    """Each shard has all its rounds, whenever an attempt ended between two creates."""
    model = Model(failing(always=[1, 6]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, rows=8, sim=sim, max_rows_per_batch=4)
        sim.inject("create_batch", status=400, skip=3)
        with pytest.raises(AirflowFailException):
            tries(task, sim)
        assert asked_in(sim)[2:] == [["r1"]]
        found = tries(task, sim, 2).value
    assert model.asked["r1"] == model.asked["r6"] == 3
    assert found["by_round"] == [
        {"requests": 8, "succeeded": 6},
        {"requests": 2, "succeeded": 0},
        {"requests": 2, "succeeded": 0},
    ]
    check_sums(found, 8)


FRESH: dict[str, Any] = {"dag_run": SimpleNamespace(conf={"kimi_force_fresh": True}, run_after=None)}


@pytest.mark.parametrize("by_conf", [True, False], ids=["the conf of the run", "reuse='never'"])
def test_fresh_work_has_rounds_of_its_own_and_a_clear_goes_on_with_the_newest(
    connect: Connect, tmp_path: Path, by_conf: bool
) -> None:
    model = Model(lambda row, times, body: BROKEN if times in (1, 3) and row == "r1" else Answer(f"answer {times}"))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        tries(task, sim)
        assert len(sim.batches) == 2
        sim.advance(10)
        fresh = job(tmp_path, sim=sim, reuse="auto" if by_conf else "never")
        second = tries(fresh, sim, 2, **(FRESH if by_conf else {})).value
        assert asked_in(sim)[2:] == [[f"r{n}" for n in range(10)], ["r1"]]
        assert {row["content"] for row in results(tmp_path).values()} == {"answer 2", "answer 4"}
        third = tries(task, sim, 3).value
        assert len(sim.batches) == 4
    assert third["batch_ids"] == second["batch_ids"] == list(sim.batches)[2:]
    assert {row["content"] for row in results(tmp_path).values()} == {"answer 2", "answer 4"}


def test_a_clear_goes_on_with_fresh_work_that_was_ended_before_its_second_round(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(lambda row, times, body: BROKEN if (row, times) in (("r1", 1), ("r2", 2)) else Answer(f"{times}"))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        tries(task, sim)
        sim.advance(10)
        sim.inject("create_batch", status=400, skip=1)
        with pytest.raises(AirflowFailException):
            tries(task, sim, 2, **FRESH)
        sim.advance(10)
        found = tries(task, sim, 3).value
        assert asked_in(sim)[2:] == [[f"r{n}" for n in range(10)], ["r2"]]
    assert found["batch_ids"] == list(sim.batches)[2:]
    rows = results(tmp_path)
    assert (rows["r0"]["content"], rows["r2"]["content"]) == ("2", "3")


@pytest.mark.parametrize("choice", ["fail", "fresh", "cancel_and_fresh"])
def test_a_changed_input_after_two_rounds_is_dealt_with_as_the_task_asks(
    connect: Connect, tmp_path: Path, choice: str
) -> None:
    model = Model(failing(1))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        tries(job(tmp_path, sim=sim), sim)
        task = job(tmp_path, sim=sim, prompt="Another question: {text}", on_changed_input=choice)
        if choice == "fail":
            with pytest.raises(AirflowFailException, match=r"Changed: the prompt\. Nothing was sent"):
                tries(task, sim, 2)
            assert len(sim.batches) == 2
            return
        found = tries(task, sim, 2).value
        assert "cancel_batch" not in [call.name for call in sim.journal]
    assert found["batch_ids"] == list(sim.batches)[2:]
    assert found["counts"]["succeeded"] == 10


@pytest.mark.parametrize(
    ("accepted", "behaviour"),
    [(True, Behaviour()), (True, Behaviour(list_metadata=False)), (False, Behaviour())],
    ids=["carried out", "carried out, no metadata", "never arrived"],
)
def test_a_create_of_a_round_whose_answer_is_lost_makes_one_batch(
    connect: Connect, tmp_path: Path, accepted: bool, behaviour: Behaviour
) -> None:
    model = Model(failing(1, 2))
    with KimiSimulator(speed=0, timing=QUICK, responder=model, behaviour=behaviour) as sim:
        connect(sim)
        sim.inject("create_batch", drop=True, accepted=accepted, skip=1)
        found = tries(job(tmp_path, sim=sim), sim).value
        assert asked_in(sim)[1:] == [["r1", "r2"]]
    assert found["batch_ids"] == list(sim.batches)
    assert max(model.asked.values()) == 2


@pytest.mark.parametrize("behaviour", LISTS.values(), ids=LISTS)
def test_a_retry_after_a_round_whose_create_was_carried_out_unseen_attaches_to_it(
    connect: Connect, tmp_path: Path, behaviour: Behaviour
) -> None:
    """The worker is gone right after the create; what `check` says differs between the attempts."""
    model, refused = Model(failing()), iter([["r1"], ["r1", "r2"]])
    now: list[str] = []

    def check(row: dict[str, Any]) -> str | None:
        return "not good" if row["custom_id"] in now and row["round"] == 1 else None

    with KimiSimulator(speed=0, timing=QUICK, responder=model, behaviour=behaviour) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, check=check, max_rounds=2)
        now[:] = next(refused)
        ti = TaskInstanceRecord(task_id="job")

        def killed(*_: object) -> None:
            raise Gone

        with pytest.raises(Gone):
            tries(task, sim, ti=ti, at={2: killed})
        now[:] = next(refused)
        found = tries(task, sim, 2).value
        assert asked_in(sim) == [[f"r{n}" for n in range(10)], ["r1"]]
    assert found["batch_ids"] == list(sim.batches)
