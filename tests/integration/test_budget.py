"""`budget`: tasks and runs share an amount, which is reserved before anything is uploaded and settled at landing."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.budgets.entries import read_budget
from airflow_provider_kimi.budgets.ledger import MICRO, Ledger, total
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.tasks import TaskInstanceRecord, run_task, run_to_end
from tests.support.variables import VariableKeeper, airflow_tables, keeping

QUICK = Timing(validating_seconds=1, working_seconds=5, finalizing_seconds=1)
PAYING = {"upload_file", "create_batch"}


def job(folder: Path, rows: int = 40, **parameters: Any) -> KimiBatchOperator:
    table = folder / "reviews.jsonl"
    table.write_text("".join(json.dumps({"id": f"r{n}", "text": f"review {n}"}) + "\n" for n in range(rows)))
    return KimiBatchOperator(
        **{
            **{
                "task_id": "job",
                "input": str(table),
                "output": f"{folder}/out-{{{{ ti.run_id }}}}",
                "key_column": "id",
            },
            **{"prompt": "Positive or negative? {text}", "thinking": "disabled", "poke_interval": 0.1},
            **{"request_params": {"max_completion_tokens": 100}, "budget": "labels", **parameters},
        }
    )


def run_of(number: int, **fields: Any) -> TaskInstanceRecord:
    return TaskInstanceRecord(task_id="job", run_id=f"run_{number}", **fields)


def ledger() -> Ledger:
    return Ledger(read_budget("labels"))


def calls(sim: KimiSimulator) -> set[str]:
    return {call.name for call in sim.journal}


@pytest.fixture(scope="module")
def tables() -> Iterator[None]:
    with airflow_tables():
        yield


@pytest.fixture
def airflow(tables: None) -> Iterator[VariableKeeper]:
    with keeping({"kimi_budget_labels": '{"amount": 0.1, "per": "day", "currency": "CNY"}'}) as keeper:
        yield keeper


def test_a_job_reserves_the_most_that_it_may_cost_and_settles_what_it_has_cost(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        assert run_task(job(tmp_path), run_of(1)).deferred
        held = total(ledger().reserved)
        assert 0.06 * MICRO < held < 0.07 * MICRO
        sim.advance(60)
        manifest = run_to_end(job(tmp_path), run_of(1)).value
    said = "Budget 'labels': 0.067 of 0.1 CNY reserved for this job; 0.00 spent, 0.00 reserved by 0 others, 0.033 left"
    assert said in capsys.readouterr().out
    cost = manifest["cost"]["amount"]
    assert 0 < cost < 0.06
    assert ledger().reserved == []
    assert ledger().spent == -(-cost * MICRO // 1)
    left = 0.1 - cost
    assert manifest["budget"] == {
        **{"name": "labels", "amount": 0.1, "currency": "CNY"},
        **{"window": manifest["budget"]["window"], "left": pytest.approx(left, abs=2e-6)},
    }
    assert manifest["budget"]["window"].startswith("day-20")


def test_a_job_without_room_is_refused_with_the_numbers_and_no_upload(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "running"}
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        run_task(job(tmp_path), run_of(1))
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException) as refused:
            run_task(job(tmp_path), run_of(2))
        assert not PAYING & calls(sim)
    said = str(refused.value)
    assert "Budget 'labels' has no room for 0.067 CNY" in said
    assert (
        "of 0.1 CNY, 0.00 are spent by others, 0.067 reserved by 1 others, 0.00 held by this job; 0.033 are left"
        in said
    )
    assert "until 20" in said
    assert "Nothing was uploaded or submitted by this attempt." in said
    assert len(ledger().reserved) == 1
    assert ledger().waiting == []


def claim(hook: KimiHook, most: float = 0.04, *, mark: str = "try 1") -> None:
    """Claim as a run does that dies before it has uploaded anything."""
    note = ClaimNote(dag_id="reviews", run_id="run_1", task_id="job", conn_id=hook.kimi_conn_id, mark=mark)
    Purse("labels", "CNY", note).of_job("0" * 32, None, 24).hold(Calls(hook, logging.getLogger("test")), most)


def test_a_retry_takes_up_the_claim_of_its_first_try(connect: Connect, airflow: VariableKeeper) -> None:
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        for mark in ("try 1", "try 2"):
            claim(hook, mark=mark)
        assert [total(ledger().reserved), len(ledger().claims)] == [40_000, 1]
        claim(hook, 0.05, mark="try 3")
    assert [total(ledger().reserved), len(ledger().claims)] == [50_000, 2]


def test_a_job_that_fails_before_its_upload_gives_back_what_it_has_reserved(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        sim.inject("upload_file", status=403, error_type="permission_denied_error", times=None)
        with pytest.raises(AirflowFailException):
            run_task(job(tmp_path), run_of(1))
    assert len(ledger().claims) == 1
    assert ledger().reserved == []


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "removed", "success", None])
def test_what_a_run_had_reserved_that_died_before_its_upload_comes_back(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper, state: str | None
) -> None:
    airflow.states = {"job": state} if state else {}
    with KimiSimulator(speed=0) as sim:
        claim(connect(sim))
        run_task(job(tmp_path), run_of(2))
    assert 0.06 * MICRO < total(ledger().reserved) < 0.07 * MICRO
    assert ledger().spent == 0


@pytest.mark.parametrize("state", ["running", "deferred", "up_for_retry", "queued"])
def test_what_a_run_has_reserved_that_goes_on_is_not_taken_back(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper, state: str
) -> None:
    airflow.states = {"job": state}
    with KimiSimulator(speed=0) as sim:
        claim(connect(sim))
        with pytest.raises(AirflowFailException, match="0.04 reserved by 1 others"):
            run_task(job(tmp_path), run_of(2))


def test_of_a_run_that_died_stays_spent_what_its_batches_are_billed_once_they_have_ended(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "failed"}
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path), run_of(1))
        held = total(ledger().reserved)
        with pytest.raises(AirflowFailException, match="has no room"):
            run_task(job(tmp_path), run_of(2))
        (batch,) = sim.batches
        sim.advance(4)
        KimiHook().cancel_batch(batch)
        sim.advance(60)
        done = KimiHook().get_batch(batch).counts.completed
        run_task(job(tmp_path, rows=30), run_of(2))
    assert 0 < done < 40
    assert ledger().spent == -(-held * done // 40)
    assert len(ledger().reserved) == 1


def test_a_clear_of_a_run_that_died_settles_what_it_has_really_cost(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "failed"}
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path, rows=20), run_of(1))
        sim.advance(60)
        with pytest.raises(AirflowFailException, match="0.033 are spent by others"):
            run_task(job(tmp_path, rows=50), run_of(2))
        manifest = run_to_end(job(tmp_path, rows=20), run_of(1, try_number=2)).value
    assert ledger().spent == -(-manifest["cost"]["amount"] * MICRO // 1)
