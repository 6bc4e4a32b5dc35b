"""What an attempt does about the paid work of earlier ones, as its parameters say."""

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
from airflow_provider_kimi.submission.attach import cancel_work_of
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, order, submit
from tests.support.tasks import TaskInstanceRecord, run_task


@pytest.fixture
def hook(sim: KimiSimulator, connect: Connect) -> KimiHook:
    return connect(sim)


def attempt(number: int = 1, map_index: int = -1, **fields: Any) -> Attempt:
    """One try; each has a mark of its own."""
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


class TestFreshWork:
    def test_is_paid_for_in_every_attempt(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """T22: a clear pays or reuses as `reuse` says, and by nothing else."""
        for number in (1, 2):
            submit(hook, order(["a"], reuse="never"), attempt(number), LogRecord())
        assert len(sim.batches) == 2

    def test_names_what_earlier_attempts_left_running(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (left,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
        log = LogRecord()
        submit(hook, order(["a"], reuse="never"), attempt(2), log)
        assert any(left in line and "go on and are billed" in line for line in log.warnings)

    def test_is_what_counts_from_then_on(self, sim: KimiSimulator, hook: KimiHook) -> None:
        submit(hook, order(["a"]), attempt(1), LogRecord())
        sim.advance(2)
        fresh = submit(hook, order(["a"], reuse="never"), attempt(2), LogRecord()).batch_ids
        assert submit(hook, order(["a"]), attempt(3), LogRecord()).batch_ids == fresh
        assert "cancel_batch" not in [call.name for call in sim.journal]

    @pytest.mark.parametrize(("conf", "batches"), [(None, 1), ({}, 1), ({"kimi_force_fresh": False}, 1)])
    def test_is_not_asked_for_by_another_conf(
        self, sim: KimiSimulator, hook: KimiHook, conf: Any, batches: int
    ) -> None:
        assert create(conf) == create(conf)
        assert len(sim.batches) == batches

    def test_is_asked_for_by_the_conf_of_a_run(self, sim: KimiSimulator, hook: KimiHook) -> None:
        fresh = {"kimi_force_fresh": True}
        assert create({}) != create(fresh) != create(fresh)
        assert len(sim.batches) == 3

    def test_is_refused_where_the_conf_says_neither_yes_nor_no(self, sim: KimiSimulator, hook: KimiHook) -> None:
        with pytest.raises(AirflowFailException, match="kimi_force_fresh in the conf of this run is 'yes'"):
            create({"kimi_force_fresh": "yes"})
        assert not sim.journal


class TestAChangedInput:
    """T13: what renders differently in a retry is named, and paid for only if told so."""

    def test_stops_by_default_and_names_what_changed(self, sim: KimiSimulator, hook: KimiHook) -> None:
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

    def test_is_submitted_beside_the_old_one_with_fresh(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (old,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
        log = LogRecord()
        (new,) = submit(hook, order(["b"], on_changed_input="fresh"), attempt(2), log).batch_ids
        assert [sim.status(batch_id) for batch_id in (old, new)] == ["validating", "validating"]
        assert old in log.warnings[0]

    def test_replaces_the_old_one_with_cancel_and_fresh(self, sim: KimiSimulator, hook: KimiHook) -> None:
        (old,) = submit(hook, order(["a"]), attempt(1), LogRecord()).batch_ids
        (new,) = submit(hook, order(["b"], on_changed_input="cancel_and_fresh"), attempt(2), LogRecord()).batch_ids
        assert [sim.status(batch_id) for batch_id in (old, new)] == ["cancelling", "validating"]

    def test_of_a_mapped_task_cancels_nothing_of_a_sibling(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """T27: [A, B] became [X, A, B]; the batch that index 0 made is index 1's now."""
        before = [
            submit(hook, order([row]), attempt(1, index), LogRecord()).batch_ids for index, row in enumerate("ab")
        ]
        wanted = {"on_changed_input": "cancel_and_fresh"}
        after = [
            submit(hook, order([row], **wanted), attempt(2, n), LogRecord()).batch_ids for n, row in enumerate("xab")
        ]
        assert after[1:] == before
        assert "cancel_batch" not in [call.name for call in sim.journal]


class TestMappedInstances:
    def test_that_are_all_cleared_pay_nothing(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """T26: clearing one of eight reruns all eight."""
        first = [submit(hook, order([f"part {n}"]), attempt(1, n), LogRecord()).batch_ids for n in range(8)]
        again = [submit(hook, order([f"part {n}"]), attempt(2, n), LogRecord()).batch_ids for n in range(8)]
        assert again == first
        assert len(sim.batches) == 8

    def test_keep_their_work_when_indices_move(self, sim: KimiSimulator, hook: KimiHook) -> None:
        """T27: [A, B, C] became [B, C]."""
        first = {row: submit(hook, order([row]), attempt(1, n), LogRecord()).batch_ids for n, row in enumerate("abc")}
        again = {row: submit(hook, order([row]), attempt(2, n), LogRecord()).batch_ids for n, row in enumerate("bc")}
        assert again == {row: first[row] for row in "bc"}


class TestAFinalFailureHalfway:
    """T24: the message names what exists, and the policy runs."""

    def failure(self, sim: KimiSimulator, hook: KimiHook, policy: str, is_last: bool, status: int) -> KimiError:
        error_type = "exceeded_current_quota_error" if status == 429 else "server_unavailable"
        sim.inject("upload_file", skip=1, status=status, error_type=error_type, times=None)
        wanted = order(["a", "b"], max_rows_per_batch=1, on_final_failure=policy)
        with pytest.raises(KimiError) as caught:
            submit(hook, wanted, attempt(1, is_last=is_last), LogRecord())
        return caught.value

    @pytest.mark.parametrize("status", [429, 503])
    def test_keeps_what_runs_by_default(self, sim: KimiSimulator, hook: KimiHook, status: int) -> None:
        error = self.failure(sim, hook, "keep", is_last=True, status=status)
        (batch_id,) = sim.batches
        assert "1 of the 2 batches of this task exist, go on and are billed." in str(error)
        assert f"They are {batch_id}." in str(error)
        assert "cancel_batch" not in [call.name for call in sim.journal]

    @pytest.mark.parametrize(("is_last", "status"), [(True, 503), (False, 429), (True, 429)])
    def test_cancels_it_if_told_so(self, sim: KimiSimulator, hook: KimiHook, is_last: bool, status: int) -> None:
        error = self.failure(sim, hook, "cancel", is_last, status)
        (batch_id,) = sim.batches
        assert sim.status(batch_id) == "cancelling"
        assert f"what ran was cancelled, as on_final_failure asks: {batch_id} (cancelling)" in str(error)

    def test_is_not_final_while_there_are_retries(self, sim: KimiSimulator, hook: KimiHook) -> None:
        error = self.failure(sim, hook, "cancel", is_last=False, status=503)
        assert error.retryable
        assert "cancel_batch" not in [call.name for call in sim.journal]

    def test_says_which_could_not_be_cancelled(self, sim: KimiSimulator, hook: KimiHook) -> None:
        sim.inject("cancel_batch", status=401, error_type="invalid_authentication_error", times=None)
        error = self.failure(sim, hook, "cancel", is_last=True, status=429)
        assert isinstance(error, KimiBatchError)
        assert "1 of 1 batches could not be cancelled" in str(error)


class TestASubmitThatIsGivenUp:
    def test_cancels_what_its_task_instance_has_running_and_nothing_else(
        self, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (other,) = submit(hook, order(["a"]), attempt(1, 3), LogRecord()).batch_ids
        own = submit(hook, order(["b", "c"], max_rows_per_batch=1), attempt(1), LogRecord()).batch_ids
        cancelled = cancel_work_of(Calls(hook, LogRecord()), attempt(1))
        assert sorted(batch.id for batch in cancelled) == sorted(own)
        assert sim.status(other) == "validating"


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


class TestALimitOfThePlatform:
    def test_on_batches_at_a_time_is_waited_for_by_retries_and_pays_nothing_twice(self, connect: Connect) -> None:
        """T28: Airflow's own limits count slots, not batches, and a limiter of ours is a later part.

        Until then the platform's refusal leaves the rest to a retry, which attaches to what there is.
        """
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
