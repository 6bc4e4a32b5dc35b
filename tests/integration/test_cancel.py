"""Cancelling: a batch that ended first is a result; the wait for the end is the sensor's."""

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCancelBatchOperator
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.conftest import Connect
from tests.support.requests import submit_prompts
from tests.support.tasks import resume_task, run_task


def cancel(batch_id: Any, **parameters: Any) -> KimiCancelBatchOperator:
    return KimiCancelBatchOperator(task_id="cancel", batch_id=batch_id, **parameters)


def calls(sim: KimiSimulator) -> list[str]:
    return [call.name for call in sim.journal if call.name in ("get_batch", "cancel_batch")]


def test_a_running_batch_is_cancelled_and_waited_for(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    sim.advance(10)
    attempt = run_task(cancel(batch_id))
    assert calls(sim) == ["get_batch", "cancel_batch"]
    assert attempt.deferred is not None
    assert isinstance(attempt.deferred.trigger, KimiBatchTrigger)
    sim.advance(60)
    event = BatchEvent("ended", {batch_id: BatchEnd.of(hook.get_batch(batch_id))})
    assert resume_task(cancel(batch_id), event.to_dict()).value == {batch_id: "cancelled"}


def test_without_waiting_the_status_after_the_cancel_is_returned(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    assert run_task(cancel([batch_id], wait_for_termination=False)).value == {batch_id: "cancelling"}


def test_a_cancel_that_is_not_deferrable_waits_in_the_worker(connect: Connect) -> None:
    with KimiSimulator(speed=20) as sim:
        submission = submit_prompts(connect(sim), 3)
        attempt = run_task(cancel(submission.batch_ids, deferrable=False, poll_interval=0.1))
    assert attempt.value == {submission.batch_ids[0]: "cancelled"}


@pytest.mark.parametrize("status", ["completed", "failed", "expired"])
def test_the_cancel_of_a_batch_that_ended_first_is_a_result(sim: KimiSimulator, hook: KimiHook, status: str) -> None:
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    if status == "failed":
        sim.batches[batch_id].balance_failure = True
    if status == "expired":
        sim.batches[batch_id].expires_at = sim.now() + 10
    sim.advance(60)
    assert run_task(cancel(batch_id)).value == {batch_id: status}
    assert calls(sim) == ["get_batch"]


def test_a_cancel_that_is_refused_while_the_batch_is_validating_is_asked_for_again(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    sim.inject("cancel_batch", status=400, error_type="invalid_request_error", message="not now")
    assert run_task(cancel(batch_id, wait_for_termination=False)).value == {batch_id: "cancelling"}
    assert calls(sim) == ["get_batch", "cancel_batch", "get_batch", "cancel_batch"]


def test_a_batch_that_assembles_its_results_is_not_cancelled(connect: Connect) -> None:
    """A cancel in `finalizing` was seen to lose rows that were billed."""
    with KimiSimulator(speed=0, behaviour=Behaviour(cancel_in_finalizing=True)) as sim:
        (batch_id,) = submit_prompts(connect(sim), 3).batch_ids
        sim.advance(24)
        assert sim.status(batch_id) == "finalizing"
        assert run_task(cancel(batch_id)).deferred is not None
        assert calls(sim) == ["get_batch"]


def test_a_second_cancel_is_not_an_error(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    sim.advance(10)
    hook.cancel_batch(batch_id)
    assert run_task(cancel(batch_id)).deferred is not None
    assert calls(sim).count("cancel_batch") == 1


def test_the_cancel_of_an_unknown_batch_fails_for_good(hook: KimiHook) -> None:
    with pytest.raises(AirflowFailException, match="batch_gone"):
        run_task(cancel("batch_gone"))


def test_one_unknown_batch_does_not_keep_the_others_running(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = submit_prompts(hook, 3).batch_ids
    with pytest.raises(AirflowFailException) as caught:
        run_task(cancel(["batch_gone", batch_id]))
    assert sim.status(batch_id) == "cancelling"
    assert "1 of 2 batches could not be cancelled" in str(caught.value)
    assert f"{batch_id} is cancelling" in str(caught.value)


def test_a_cancel_that_does_not_end_in_time_fails_and_says_so(hook: KimiHook) -> None:
    event = BatchEvent("timed_out", {}, "The wait timed out")
    with pytest.raises(AirflowFailException, match="The wait timed out"):
        resume_task(cancel("batch_1"), event.to_dict())


@pytest.mark.parametrize("value", ["", "[]", "None", [], [None], 7, "two words"])
def test_a_value_that_is_not_a_batch_id_is_refused_before_any_call(
    sim: KimiSimulator, hook: KimiHook, value: Any
) -> None:
    with pytest.raises(AirflowFailException, match="is not a batch id"):
        run_task(cancel(value))
    assert sim.journal == []
