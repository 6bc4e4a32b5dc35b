"""What an attempt does with the paid work of earlier attempts, for each value of its parameters."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from airflow_provider_kimi.submission.ending import running_work_of
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, submit
from tests.support.tasks import TaskInstanceRecord, run_task


def attempt(number: int = 1, map_index: int = -1, **fields: Any) -> Attempt:
    """One attempt; each has a mark of its own."""
    task = replace(TASK, map_index=map_index)
    return replace(ATTEMPT, task=task, number=number, mark=f"{map_index}:{number}", **fields)


@dataclass(frozen=True)
class DagRun:
    """What an operator sees of its run."""

    conf: Any
    run_after: datetime = datetime(2026, 11, 24, tzinfo=UTC)


def create(conf: object, **parameters: Any) -> list[str]:
    """One try of the operator in a run with this conf."""
    task = KimiCreateBatchOperator(task_id="create", input=["a"], **parameters)
    ids: list[str] = run_task(task, TaskInstanceRecord(task_id="create"), dag_run=DagRun(conf)).value
    return ids


def test_reuse_never_pays_in_every_attempt(sim: KimiSimulator, hook: KimiHook) -> None:
    """Only the parameter `reuse` decides whether a cleared task pays again."""
    for number in (1, 2):
        submit(hook, order(["a"], reuse="never"), attempt(number), LogRecord())
    assert len(sim.batches) == 2


def test_fresh_work_logs_what_earlier_attempts_left_running(sim: KimiSimulator, hook: KimiHook) -> None:
    (left,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
    log = LogRecord()
    submit(hook, order(["a"], reuse="never"), attempt(2), log)
    assert any(left in line and "go on and are billed" in line for line in log.warnings)


def test_later_attempts_attach_to_fresh_work(sim: KimiSimulator, hook: KimiHook) -> None:
    submit(hook, order(["a"]), attempt(1), LogRecord())
    sim.advance(2)
    fresh = submit(hook, order(["a"], reuse="never"), attempt(2), LogRecord()).batch_ids
    assert submit(hook, order(["a"]), attempt(3), LogRecord()).batch_ids == fresh
    assert "cancel_batch" not in [call.name for call in sim.journal]


@pytest.mark.parametrize(
    "conf", [None, {}, {"kimi_force_fresh": False}], ids=["no conf", "an empty conf", "kimi_force_fresh is false"]
)
def test_a_run_attaches_where_its_conf_does_not_ask_for_fresh_work(
    sim: KimiSimulator, hook: KimiHook, conf: Any
) -> None:
    assert create(conf) == create(conf)
    assert len(sim.batches) == 1


def test_a_run_whose_conf_asks_for_fresh_work_pays_again(sim: KimiSimulator, hook: KimiHook) -> None:
    fresh = {"kimi_force_fresh": True}
    assert create({}) != create(fresh) != create(fresh)
    assert len(sim.batches) == 3


def test_a_conf_that_says_neither_true_nor_false_is_refused_before_any_call(sim: KimiSimulator, hook: KimiHook) -> None:
    with pytest.raises(AirflowFailException, match="kimi_force_fresh in the conf of this run is 'yes'"):
        create({"kimi_force_fresh": "yes"})
    assert not sim.journal


def test_a_changed_input_is_refused_by_default_and_what_changed_is_named(sim: KimiSimulator, hook: KimiHook) -> None:
    submit(hook, order(["a"]), attempt(1), LogRecord())
    for changed, what in (
        (order(["a"], model="kimi-k2.7-code"), "the model"),
        (order(["a"], request_params={"max_completion_tokens": 4000}), "request parameters"),
        (order(["a"], system_prompt="Be brief"), "what the rows hold"),
        (order(["b"]), "what the rows hold"),
    ):
        with pytest.raises(KimiInputError, match=f"Changed: .*{what}"):
            submit(hook, changed, attempt(2), LogRecord())
    assert len(sim.batches) == 1


def test_a_changed_input_is_submitted_beside_the_old_batch_with_fresh(sim: KimiSimulator, hook: KimiHook) -> None:
    (old,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
    log = LogRecord()
    (new,) = submit(hook, order(["b"], on_changed_input="fresh"), attempt(2), log).batch_ids
    assert [sim.status(batch_id) for batch_id in (old, new)] == ["validating", "validating"]
    assert old in log.warnings[0]


def test_a_changed_input_replaces_the_old_batch_with_cancel_and_fresh(sim: KimiSimulator, hook: KimiHook) -> None:
    (old,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
    (new,) = submit(hook, order(["b"], on_changed_input="cancel_and_fresh"), attempt(2), LogRecord()).batch_ids
    assert [sim.status(batch_id) for batch_id in (old, new)] == ["cancelling", "validating"]


def test_a_changed_input_of_a_mapped_task_cancels_no_batch_of_a_sibling(sim: KimiSimulator, hook: KimiHook) -> None:
    """The inputs [A, B] became [X, A, B]: the batch that index 0 made belongs to index 1 now."""
    before = [submit(hook, order([row]), attempt(1, index), LogRecord()).batch_ids for index, row in enumerate("ab")]
    wanted = {"on_changed_input": "cancel_and_fresh"}
    after = [submit(hook, order([row], **wanted), attempt(2, n), LogRecord()).batch_ids for n, row in enumerate("xab")]
    assert after[1:] == before
    assert "cancel_batch" not in [call.name for call in sim.journal]


def test_mapped_instances_that_are_all_cleared_pay_nothing(sim: KimiSimulator, hook: KimiHook) -> None:
    """A clear of one mapped instance of eight runs all eight again."""
    first = [submit(hook, order([f"row {n}"]), attempt(1, n), LogRecord()).batch_ids for n in range(8)]
    again = [submit(hook, order([f"row {n}"]), attempt(2, n), LogRecord()).batch_ids for n in range(8)]
    assert again == first
    assert len(sim.batches) == 8


def test_mapped_instances_keep_their_work_when_indices_move(sim: KimiSimulator, hook: KimiHook) -> None:
    """The inputs [A, B, C] became [B, C]."""
    first = {row: submit(hook, order([row]), attempt(1, n), LogRecord()).batch_ids for n, row in enumerate("abc")}
    again = {row: submit(hook, order([row]), attempt(2, n), LogRecord()).batch_ids for n, row in enumerate("bc")}
    assert again == {row: first[row] for row in "bc"}


def failure(sim: KimiSimulator, hook: KimiHook, policy: str, is_last: bool, status: int) -> KimiError:
    """The error of a submit whose second shard is refused with this status."""
    error_type = "exceeded_current_quota_error" if status == 429 else "server_unavailable"
    sim.inject("upload_file", skip=1, status=status, error_type=error_type, times=None)
    wanted = order(["a", "b"], max_rows_per_batch=1, on_final_failure=policy)
    with pytest.raises(KimiError) as caught:
        submit(hook, wanted, attempt(1, is_last=is_last), LogRecord())
    return caught.value


@pytest.mark.parametrize("status", [429, 503], ids="HTTP {}".format)
def test_a_final_failure_keeps_the_batches_that_run_by_default(sim: KimiSimulator, hook: KimiHook, status: int) -> None:
    error = failure(sim, hook, "keep", is_last=True, status=status)
    (batch_id,) = sim.batches
    assert "1 of the 2 batches of this task exist, go on and are billed." in str(error)
    assert f"They are {batch_id}." in str(error)
    assert "cancel_batch" not in [call.name for call in sim.journal]


@pytest.mark.parametrize(
    ("is_last", "status"),
    [
        pytest.param(True, 503, id="a passing fault of the last try"),
        pytest.param(False, 429, id="a permanent fault of an earlier try"),
        pytest.param(True, 429, id="a permanent fault of the last try"),
    ],
)
def test_a_final_failure_cancels_the_batches_that_run_if_on_final_failure_is_cancel(
    sim: KimiSimulator, hook: KimiHook, is_last: bool, status: int
) -> None:
    error = failure(sim, hook, "cancel", is_last, status)
    (batch_id,) = sim.batches
    assert sim.status(batch_id) == "cancelling"
    assert f"What ran was cancelled, as on_final_failure asks: {batch_id} (cancelling)" in str(error)


def test_a_failure_cancels_nothing_while_retries_are_left(sim: KimiSimulator, hook: KimiHook) -> None:
    error = failure(sim, hook, "cancel", is_last=False, status=503)
    assert error.retryable
    assert "cancel_batch" not in [call.name for call in sim.journal]


def test_a_final_failure_says_which_batches_could_not_be_cancelled(sim: KimiSimulator, hook: KimiHook) -> None:
    sim.inject("cancel_batch", status=401, error_type="invalid_authentication_error", times=None)
    error = failure(sim, hook, "cancel", is_last=True, status=429)
    assert isinstance(error, KimiBatchError)
    assert "1 of 1 batches could not be cancelled" in str(error)


def test_a_submit_that_is_given_up_finds_only_batches_of_its_own_task_instance(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    submit(hook, order(["a"]), attempt(1, 3), LogRecord())
    own = submit(hook, order(["b", "c"], max_rows_per_batch=1), attempt(1), LogRecord()).batch_ids
    found = running_work_of(Calls(hook, LogRecord()), attempt(1))
    assert sorted(batch.id for batch in found) == sorted(own)


def test_a_task_instance_says_which_try_it_is_and_whether_it_is_the_last() -> None:
    from airflow_provider_kimi.context import read_attempt

    def read(**fields: Any) -> Attempt:
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=None, **fields)
        context: Any = {"ti": ti, "dag_run": DagRun({})}
        return read_attempt(context)

    assert read(try_number=2, max_tries=2, id="uuid") == Attempt(
        replace(TASK, dag_id="d", run_id="r", task_id="t"), 2, "uuid", False, DagRun({}).run_after.timestamp()
    )
    assert read(try_number=3, max_tries=2, id="uuid").is_last
    assert read(try_number=1, max_tries=0).mark == "r try 1"  # Airflow 2 has no id of a try


def test_retries_wait_for_a_limit_on_running_batches_and_pay_nothing_twice(connect: Connect) -> None:
    """The refusal of the platform leaves the rest to a retry, which attaches to the batches that exist."""
    with KimiSimulator(speed=0, behaviour=Behaviour(max_active_batches=1)) as sim:
        hook = connect(sim)
        wanted = order(["a", "b", "c"], max_rows_per_batch=1)
        ids: list[str] = []
        for number in range(1, 10):
            try:
                ids = submit(hook, wanted, attempt(number), LogRecord()).batch_ids
                break
            except KimiApiError:
                sim.advance(60)
        assert ids == list(sim.batches)
        assert len(ids) == 3
