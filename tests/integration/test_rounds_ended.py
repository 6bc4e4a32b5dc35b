"""Batches of the one task that end early or as a whole, and files that come late: what is asked again, and when."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.rounds import (
    QUICK,
    Model,
    asked_in,
    check_sums,
    expire,
    failing,
    job,
    manifest,
    newest,
    tries,
)

ALL = [f"r{n}" for n in range(10)]


def refuse_all(sim: KimiSimulator) -> Callable[[], None]:
    """Let the newest batch fail as a whole, as one does for which the balance is too small."""

    def fail() -> None:
        newest(sim).balance_failure = True

    return fail


def cancel(sim: KimiSimulator) -> Callable[[], None]:
    """Cancel the newest batch by hand, when half of its rows are done."""

    def cancel_newest() -> None:
        newest(sim).cancelling_at = newest(sim).created_at + 3.5

    return cancel_newest


@pytest.mark.parametrize("wait", [1, 2])
def test_a_batch_that_fails_as_a_whole_is_asked_again_by_a_clear_only(
    connect: Connect, tmp_path: Path, wait: int
) -> None:
    """What made it fail is seldom over by itself, so the rounds of the same try would fail as it did."""
    model = Model(failing(1, 2))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        with pytest.raises(AirflowException, match="1 of 1 batches did not complete") as raised:
            tries(task, sim, at={wait: refuse_all(sim)})
        assert "Clear this task to ask only for the rows without an answer" in str(raised.value)
        assert len(sim.batches) == wait
        found = tries(task, sim, 2).value
        assert asked_in(sim) == [ALL, *[ALL] * (wait == 1), *[["r1", "r2"]] * wait]
    assert found["counts"]["succeeded"] == 10
    assert max(model.asked.values()) == 2, "it never ran"
    check_sums(found, 10)


def test_a_shard_whose_batch_fails_as_a_whole_keeps_its_rounds_for_a_clear(connect: Connect, tmp_path: Path) -> None:
    """The other shard goes on meanwhile, and uses its rounds."""
    model = Model(failing(always=[1, 6]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, max_rows_per_batch=5)
        with pytest.raises(AirflowException, match="1 of 2 batches did not complete"):
            tries(task, sim, at={2: refuse_all(sim)})
        assert (model.asked["r1"], model.asked["r6"]) == (3, 1)
        found = tries(task, sim, 2).value
    assert (model.asked["r1"], model.asked["r6"]) == (3, 3)
    assert [of_round["requests"] for of_round in found["by_round"]] == [10, 2, 2]
    check_sums(found, 10)


def test_a_batch_that_is_cancelled_by_hand_ends_the_task_and_a_clear_asks_the_rest(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(failing(1, 2, 3, 4))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        with pytest.raises(AirflowException, match="1 of 1 batches did not complete") as raised:
            tries(task, sim, at={2: cancel(sim)})
        assert "Clear this task to ask only for the rows without an answer" in str(raised.value)
        assert asked_in(sim) == [ALL, ["r1", "r2", "r3", "r4"]]
        assert manifest(tmp_path)["counts"]["succeeded"] == 8
        found = tries(task, sim, 2).value
        assert asked_in(sim)[2:] == [["r3", "r4"]]
    assert found["counts"]["succeeded"] == 10
    assert max(model.asked.values()) == 2
    check_sums(found, 10)


def test_no_row_of_a_batch_that_is_cancelled_by_hand_is_asked_in_the_same_try(connect: Connect, tmp_path: Path) -> None:
    """Also not one that had failed before: who cancels a batch wants no further one."""
    model = Model(failing(1))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        with pytest.raises(AirflowException, match="did not complete"):
            tries(task, sim, at={1: cancel(sim)})
        assert asked_in(sim) == [ALL]
        found = tries(task, sim, 2).value
        assert asked_in(sim)[1:] == [["r1", "r5", "r6", "r7", "r8", "r9"]]
    assert found["counts"]["succeeded"] == 10


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_clear_after_a_cancel_in_the_last_round_says_what_is_left_to_do(
    connect: Connect, tmp_path: Path, rounds: int
) -> None:
    model = Model(failing(1, 2))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, max_rounds=rounds)
        with pytest.raises(AirflowException) as raised:
            tries(task, sim, at={rounds: cancel(sim)})
        made = len(sim.batches)
        says_clear = "Clear this task to ask only for the rows without an answer" in str(raised.value)
        with suppress(AirflowException):
            tries(task, sim, 2)
        assert says_clear is (len(sim.batches) > made)
        assert says_clear or "max_rounds" in str(raised.value)


def test_a_batch_that_expires_in_the_last_round_says_that_no_round_is_left(connect: Connect, tmp_path: Path) -> None:
    model = Model(failing(1, 2, 3, 4))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, max_rounds=2)
        with pytest.raises(AirflowException, match="max_rounds"):
            tries(task, sim, at={2: expire(sim)})
        with pytest.raises(AirflowException, match="max_rounds"):
            tries(task, sim, 2)
        assert len(sim.batches) == 2
        assert tries(job(tmp_path, sim=sim, max_rounds=3), sim, 3).value["counts"]["succeeded"] == 10
        assert asked_in(sim)[2:] == [["r3", "r4"]]


def test_a_batch_that_expires_before_a_row_is_done_is_not_submitted_again_behind_its_second_round(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(failing(always=[1]))
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        first = tries(task, sim, at={1: expire(sim, 0.5)}).value
        assert asked_in(sim) == [ALL, ALL, ["r1"]]
        assert tries(task, sim, 2).value["batch_ids"] == first["batch_ids"] == list(sim.batches)


def test_a_task_that_asks_expired_rows_again_itself_advises_no_other_task_to_do_so(
    connect: Connect, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who gave the dead letters of the first round to another task would pay for them twice."""
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(failing())) as sim:
        connect(sim)
        assert tries(job(tmp_path, sim=sim), sim, at={1: expire(sim)}).value["counts"]["succeeded"] == 10
        assert asked_in(sim) == [ALL, ALL[5:]]
    logged = "".join(capfd.readouterr())
    assert "5 succeeded, 5 expired" in logged
    assert "To ask only the rest" not in logged


def test_a_task_whose_rounds_are_lowered_asks_no_row_again_that_a_round_has_answered(
    connect: Connect, tmp_path: Path
) -> None:
    model = Model(failing())
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        tries(job(tmp_path, sim=sim), sim, at={1: expire(sim)})
        assert asked_in(sim) == [ALL, ALL[5:]]
        found = tries(job(tmp_path, sim=sim, max_rounds=1), sim, 2).value
        assert len(sim.batches) == 2
    assert found["counts"]["succeeded"] == 10


@pytest.mark.parametrize("choice", ["fail", "resubmit"])
def test_on_ended_decides_after_a_clear_about_a_batch_that_ended_early(
    connect: Connect, tmp_path: Path, choice: Any
) -> None:
    model = Model(failing())
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, on_ended=choice)
        with pytest.raises(AirflowException, match="did not complete"):
            tries(task, sim, at={1: cancel(sim)})
        if choice == "fail":
            with pytest.raises(AirflowFailException, match="on_ended"):
                tries(task, sim, 2)
            assert len(sim.batches) == 1
            return
        tries(task, sim, 2)
        assert asked_in(sim) == [ALL, ALL]


def cut(sim: KimiSimulator, lines: int = 2) -> bytes:
    """Keep so few lines of the newest batch's output, as if the rest came later; return all of them."""
    sim.advance(100)
    file_id = KimiHook().get_batch(newest(sim).id).output_file_id
    assert file_id is not None
    content = sim.file_content(file_id)
    sim.replace_content(file_id, b"".join(content.splitlines(keepends=True)[:lines]))
    return content


@pytest.mark.parametrize("expires", [False, True], ids=["completed", "expired"])
def test_rows_whose_answers_may_be_paid_are_not_asked_again(connect: Connect, tmp_path: Path, expires: bool) -> None:
    """The output has fewer lines than the platform counts; what has an error line is asked again."""
    model, kept = Model(failing(1)), []
    with KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)

        def come_short() -> None:
            if expires:
                expire(sim)()
            kept.append(cut(sim))

        try:
            tries(task, sim, at={1: come_short})
        except (AirflowException, KimiBatchError):
            assert expires
        assert asked_in(sim)[1:] == [["r1"]]
        first = next(iter(sim.batches.values()))
        assert first.output_file_id is not None
        sim.replace_content(first.output_file_id, kept[0])
        found = tries(task, sim, 2).value
        assert asked_in(sim)[2:] == ([ALL[5:]] if expires else [])
    assert found["counts"]["succeeded"] == 10
    assert max(model.asked.values()) <= 2
    assert [row for row, times in model.asked.items() if times == 2] == ["r1"]
    check_sums(found, 10)


@pytest.mark.parametrize("behaviour", [{}, {"null_request_counts": True}], ids=["counted", "not counted"])
def test_rows_of_an_output_that_comes_late_are_not_asked_again(
    connect: Connect, tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    """In the first round and in the second, where a row has the error line of the first one."""
    model = Model(failing(1, 2, always=[3]))
    late = Behaviour(late_file_seconds=600, **behaviour)
    with KimiSimulator(speed=0, timing=QUICK, responder=model, behaviour=late) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim)
        for number, made in enumerate((1, 2, 3, 3), 1):
            with suppress(AirflowException, KimiBatchError):
                tries(task, sim, number)
            assert len(sim.batches) == made
            sim.advance(1000)
        assert asked_in(sim) == [ALL, ["r1", "r2", "r3"], ["r3"]]
    assert manifest(tmp_path)["counts"]["succeeded"] == 9
