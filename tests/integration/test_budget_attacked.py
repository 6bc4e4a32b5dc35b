"""`budget` where Airflow, the platform or a user does what nobody expects."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.models.variable import Variable
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms
from airflow.utils.session import create_session

from airflow_provider_kimi.budgets.entries import read_budget
from airflow_provider_kimi.budgets.ledger import MICRO, Entry, total
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.integration.test_budget import PAYING, QUICK, calls, job, ledger, run_of
from tests.support.supervisor import supervised
from tests.support.tasks import run_task, run_to_end
from tests.support.variables import VariableKeeper, airflow_tables, keeping


def held() -> int:
    return ledger().spent + total(ledger().reserved)


@pytest.fixture(scope="module")
def tables() -> Iterator[None]:
    with airflow_tables():
        yield


@pytest.fixture
def airflow(tables: None) -> Iterator[VariableKeeper]:
    with keeping({"kimi_budget_labels": '{"amount": 0.1, "per": "day", "currency": "CNY"}'}) as keeper:
        yield keeper


def without_pauses(task: KimiBatchOperator) -> KimiBatchOperator:
    task._sleep = lambda _: None
    return task


def cancelled_midway(sim: KimiSimulator, batch: str) -> int:
    sim.advance(4)
    KimiHook().cancel_batch(batch)
    sim.advance(60)
    return KimiHook().get_batch(batch).counts.completed


def test_what_a_clear_has_reserved_stays_while_its_batch_runs_though_an_earlier_claim_was_taken_back(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "failed"}
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path), run_of(1))
        most = total(ledger().reserved)
        (first,) = sim.batches
        done = cancelled_midway(sim, first)
        assert 0 < done < 40
        with pytest.raises(AirflowFailException, match="has no room"):
            run_task(job(tmp_path, rows=60), run_of(2))
        assert ledger().reserved == []
        airflow.states = {"job": "running"}
        run_task(job(tmp_path), run_of(1, try_number=2))
        assert len(sim.batches) == 2
        assert abs(held() - most) < 3
        airflow.states = {"job": "failed"}
        with pytest.raises(AirflowFailException, match="has no room"):
            run_task(job(tmp_path, rows=45), run_of(3))
        assert abs(held() - most) < 3
        sim.advance(60)
        with pytest.raises(AirflowFailException, match="has no room"):
            run_task(job(tmp_path, rows=45), run_of(4))
        assert ledger().reserved == []
        assert abs(ledger().spent - most) < 3


def test_rows_that_a_clear_asks_in_a_second_batch_make_no_share_of_a_job_smaller(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "running"}
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path), run_of(1))
        most = total(ledger().reserved)
        (first,) = sim.batches
        cancelled_midway(sim, first)
        run_task(job(tmp_path), run_of(1, try_number=2))
        sim.advance(60)
        airflow.states = {"job": "failed"}
        with pytest.raises(AirflowFailException, match="has no room"):
            run_task(job(tmp_path, rows=45), run_of(2))
        assert ledger().spent == most


def test_a_retry_with_another_input_does_not_stand_in_the_way_of_itself(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "running"}
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        hook = connect(sim)
        note = ClaimNote(dag_id="reviews", run_id="run_1", task_id="job", conn_id=hook.kimi_conn_id, mark="try 1")
        Purse("labels", "CNY", note).of_job("0" * 32, None, 40).hold(Calls(hook, logging.getLogger("test")), 0.067)
        run_task(job(tmp_path), run_of(1, try_number=2))
        assert len(sim.batches) == 1
        assert 0.06 * MICRO < held() < 0.07 * MICRO


@dataclass
class LosesWrites(VariableKeeper):
    """Answers that a Variable is written, and forgets it."""

    lists: int = 0

    def send(self, msg: Any) -> Any:
        if isinstance(msg, comms.PutVariable) and msg.key.startswith("kimi_claim."):
            return comms.OKResponse(ok=True)
        if isinstance(msg, comms.GetVariableKeys):
            self.lists += 1
            assert self.lists < 1000, "it lists for ever"
        return super().send(msg)


def test_a_claim_that_airflow_never_lists_ends_the_wait_with_a_reason(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0) as sim, supervised(LosesWrites()):
        connect(sim)
        with pytest.raises(AirflowFailException, match="kimi_claim"):
            run_task(job(tmp_path), run_of(1))
        assert not PAYING & calls(sim)


@pytest.mark.parametrize("stored", [{"amount": 0.1, "per": "day"}, '{"amount": 0.1, "per": "day"}'])
def test_a_budget_may_be_defined_by_a_file_of_a_secrets_backend(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper, monkeypatch: pytest.MonkeyPatch, stored: object
) -> None:
    (tmp_path / "variables.json").write_text(json.dumps({"kimi_budget_filed": stored}))
    backend = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", backend)
    arguments = {"variables_file_path": str(tmp_path / "variables.json")}
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps(arguments))
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        assert run_task(job(tmp_path, budget="filed"), run_of(1)).deferred


def test_a_budget_may_be_defined_by_the_environment(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_KIMI_BUDGET_X", '{"amount": 0.1, "per": "day"}')
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        assert run_task(job(tmp_path, budget="x"), run_of(1)).deferred


@dataclass
class Failing(VariableKeeper):
    """Fails to read Variables."""

    def send(self, msg: Any) -> Any:
        if isinstance(msg, comms.GetVariable):
            return comms.ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={"status": 500})
        return super().send(msg)


def test_a_budget_that_airflow_could_not_read_is_not_said_to_be_undefined(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0) as sim, supervised(Failing()):
        connect(sim)
        with pytest.raises(KimiInputError, match="could not read it") as caught:
            run_task(job(tmp_path), run_of(1))
    assert not isinstance(caught.value, AirflowFailException)


def test_a_job_that_lands_on_another_day_says_what_it_has_spent(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper, capsys: pytest.CaptureFixture[str]
) -> None:
    def in_zone(zone: str) -> None:
        defined = json.dumps({"amount": 0.1, "per": "day", "timezone": zone})
        airflow.send(comms.PutVariable(key="kimi_budget_labels", value=defined, description=None))

    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        in_zone("Etc/GMT+12")
        run_task(job(tmp_path), run_of(1))
        sim.advance(60)
        in_zone("Pacific/Kiritimati")
        manifest = run_to_end(job(tmp_path), run_of(1)).value
    spent = manifest["cost"]["amount"]
    assert f"this job has spent {spent:.2g} CNY; 0.1 of 0.1 left" in capsys.readouterr().out
    assert manifest["budget"]["left"] == 0.1


def test_a_job_that_a_retry_goes_on_with_keeps_what_it_has_reserved(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    """A create whose answer is lost may have made a batch that the list shows only later."""
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        sim.inject("upload_file", status=500, times=None)
        with pytest.raises(KimiError) as caught:
            run_task(without_pauses(job(tmp_path)), run_of(1))
    assert caught.value.retryable
    assert len(ledger().reserved) == 1


def test_chat_calls_within_what_is_reserved_stay_spent_with_it(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        hook = connect(sim)
        run_task(job(tmp_path), run_of(1))
        most = total(ledger().reserved)
        (batch,) = sim.batches
        cancelled_midway(sim, batch)
        key = Tags.of(hook.get_batch(batch)).job_key or ""
        note = ClaimNote(dag_id="reviews", run_id="run_1", task_id="job", conn_id=hook.kimi_conn_id, mark="try 1")
        chat = Purse("labels", "CNY", note).of_job(key, None, 3, is_chat=True)
        chat.hold(Calls(hook, logging.getLogger("test")), 0.01)
        airflow.states = {"job": "failed"}
        with pytest.raises(AirflowFailException, match="has no room"):
            run_task(job(tmp_path, rows=45), run_of(2))
    assert (ledger().spent, ledger().reserved) == (most, [])


@dataclass
class TidiesUp(VariableKeeper):
    """Deletes Variables of an old window while a list of all comes in pages."""

    def send(self, msg: Any) -> Any:
        answer = super().send(msg)
        if isinstance(msg, comms.GetVariableKeys) and msg.offset == 0:
            for key in answer.keys[:5]:
                super().send(comms.DeleteVariable(key=key))
        return answer


def test_a_list_in_pages_leaves_nothing_out_while_an_old_window_is_removed(airflow: VariableKeeper) -> None:
    entries = [Entry("labels", "day-1", "0" * 16, f"{n:012x}", "new", n, 1) for n in range(1010)]
    with create_session() as session:
        for entry in entries:
            session.add(Variable(key=entry.name, val="{}"))  # type: ignore[no-untyped-call]
    with supervised(TidiesUp()):
        assert set(entries[5:]) <= set(read_budget("labels"))
