"""A second attempt finds the work of the first one, also where the answer to its create was lost."""

import time
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.tasks import Attempt, run_task


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", **parameters))


def test_a_retry_attaches_to_the_batch_of_the_first_attempt(sim: KimiSimulator, hook: KimiHook) -> None:
    """The worker died after the create, and only the platform has a record of it."""
    first, second = create(input=["a"]), create(input=["a"])
    assert second.value == first.value
    assert second.ti.xcoms == first.ti.xcoms
    assert len(sim.batches) == len(sim.file_ids("batch")) == 1


def test_a_retry_attaches_to_a_batch_that_has_completed(sim: KimiSimulator, hook: KimiHook) -> None:
    first = create(input=["a"])
    sim.advance(60)
    assert create(input=["a"]).value == first.value


def test_a_retry_finds_its_batch_on_a_later_page_of_the_list(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(max_list_limit=2)) as sim:
        connect(sim)
        first = create(input=["a"])
        for other in range(5):
            create(input=[f"other {other}"], reuse="never")
        assert create(input=["a"]).value == first.value
        assert len(sim.batches) == 6


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_work_that_failed_expired_or_was_cancelled_is_submitted_again(
    sim: KimiSimulator, hook: KimiHook, status: str
) -> None:
    first = create(input=["a"])
    batch = sim.batches[first.value[0]]
    if status == "cancelled":
        hook.cancel_batch(batch.id)
    batch.balance_failure = status == "failed"
    batch.expires_at = sim.now() + 10 if status == "expired" else batch.expires_at
    sim.advance(60)
    assert sim.status(batch.id) == status
    assert create(input=["a"]).value != first.value


def test_a_retry_with_other_rows_is_refused_while_the_first_batch_runs(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = create(input=["a"]).value
    with pytest.raises(AirflowFailException, match=f"Nothing was sent now.* and are billed: {batch_id} "):
        create(input=["b"])
    assert len(sim.batches) == len(sim.file_ids("batch")) == 1


def test_a_retry_with_other_rows_is_submitted_once_the_first_batch_is_cancelled(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    hook.cancel_batch(create(input=["a"]).value[0])
    create(input=["b"])
    assert len(sim.batches) == 2


def test_other_rows_of_another_task_are_submitted_beside_the_first_batch(sim: KimiSimulator, hook: KimiHook) -> None:
    create(input=["a"])
    run_task(KimiCreateBatchOperator(task_id="other", input=["b"]))
    assert len(sim.batches) == 2


def test_reuse_never_submits_other_rows_beside_the_first_batch(sim: KimiSimulator, hook: KimiHook) -> None:
    assert create(input=["a"]).value != create(input=["b"], reuse="never").value


def test_reuse_never_submits_the_same_rows_again(sim: KimiSimulator, hook: KimiHook) -> None:
    assert create(input=["a"]).value != create(input=["a"], reuse="never").value


def test_nothing_is_created_while_the_list_of_batches_cannot_be_read(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject("list_batches", status=500, times=None)
    with pytest.raises(KimiApiError, match="listing batches"):
        submit(hook, order(["a"]), ATTEMPT, LogRecord())
    assert sim.batches == {}


def test_an_unknown_value_of_reuse_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="reuse is 'sometimes'"):
        KimiCreateBatchOperator(task_id="create", input=[], reuse="sometimes")  # type: ignore[arg-type]


LOST_ANSWERS = [
    pytest.param({"status": 502}, id="HTTP 502"),
    pytest.param({"status": 408}, id="HTTP 408"),
    pytest.param({"status": 200, "html": True}, id="HTTP 200 in HTML"),
    pytest.param({"status": 504, "html": True}, id="HTTP 504 in HTML"),
    pytest.param({"drop": True}, id="connection dropped"),
    pytest.param({"hang_seconds": 1.0}, id="timeout"),
]


@pytest.mark.parametrize("fault", LOST_ANSWERS)
@pytest.mark.parametrize("reuse", ["auto", "never"], ids="reuse {}".format)
def test_a_batch_whose_create_was_not_answered_is_found_again(
    sim: KimiSimulator, connect: Connect, fault: dict[str, Any], reuse: str
) -> None:
    hook = connect(sim, timeout=0.5)
    submit(hook, order(["a"]), replace(ATTEMPT, task=replace(ATTEMPT.task, task_id="other")), LogRecord())
    sim.inject("create_batch", accepted=True, **fault)

    def sleep(seconds: float) -> None:
        if fault.get("hang_seconds"):
            time.sleep(1.0)

    submission = submit(hook, order(["b"], reuse=reuse), ATTEMPT, LogRecord(), sleep)
    assert submission.batch_ids == [list(sim.batches)[1]]
    assert len(sim.batches) == 2


def test_a_create_that_was_not_answered_is_sent_once_more_if_no_batch_turns_up(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    sim.inject("create_batch", status=500)
    submission = submit(hook, order(["a"]), ATTEMPT, LogRecord(), sim.advance)
    assert list(sim.batches) == submission.batch_ids
    assert [call.name for call in sim.journal].count("create_batch") == 2


def test_a_create_that_was_not_answered_is_not_repeated_while_the_list_cannot_be_read(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    sim.inject("create_batch", status=502)
    sim.inject("list_batches", status=503, skip=1, times=None)
    with pytest.raises(KimiBatchError, match="Whether it exists, and is billed, is unknown") as caught:
        submit(hook, order(["a"]), ATTEMPT, LogRecord(), sim.advance)
    assert caught.value.retryable, "a retry searches for it first"
    assert [call.name for call in sim.journal].count("create_batch") == 1
    assert len(sim.file_ids("batch")) == 1, "the input of a batch that may exist is kept"


@pytest.mark.parametrize(("reuse", "retried"), [("auto", True), ("never", False)], ids=["reuse auto", "reuse never"])
def test_an_error_says_that_the_outcome_is_unknown_where_no_create_is_answered(
    sim: KimiSimulator, hook: KimiHook, reuse: str, retried: bool
) -> None:
    sim.inject("create_batch", status=502, times=None)
    with pytest.raises(KimiBatchError, match="kimi_job_key=") as caught:
        submit(hook, order(["a"], reuse=reuse), ATTEMPT, LogRecord(), sim.advance)
    assert caught.value.retryable is retried
    assert [call.name for call in sim.journal].count("create_batch") == 2
