"""What becomes of claims on a budget: those that were left, settled twice, or paid through another connection."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.execution_time import comms
from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.budgets.entries import read_budget, write
from airflow_provider_kimi.budgets.ledger import Entry
from airflow_provider_kimi.budgets.purse import Purse
from airflow_provider_kimi.budgets.taking_back import billed_share, take_back
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.integration.test_budget import QUICK, job, ledger, run_of
from tests.support.tasks import run_task
from tests.support.variables import VariableKeeper, airflow_tables, keeping


@pytest.fixture(scope="module")
def tables() -> Iterator[None]:
    with airflow_tables():
        yield


@pytest.fixture
def airflow(tables: None) -> Iterator[VariableKeeper]:
    with keeping({"kimi_budget_labels": '{"amount": 0.1, "per": "day"}'}) as keeper:
        yield keeper


def define(airflow: VariableKeeper, value: str) -> None:
    airflow.send(comms.PutVariable(key="kimi_budget_labels", value=value, description=None))


def note(hook: KimiHook, mark: str = "try 1", conn_id: str = "") -> ClaimNote:
    conn_id = conn_id or hook.kimi_conn_id
    return ClaimNote(dag_id="reviews", run_id="run_1", task_id="job", conn_id=conn_id, mark=mark, job_key="0" * 32)


def purse(hook: KimiHook, mark: str = "try 1", conn_id: str = "") -> Purse:
    """A budget, whose definition is read anew."""
    return Purse("labels", "CNY", note(hook, mark, conn_id))


def calls(hook: KimiHook) -> Calls:
    return Calls(hook, logging.getLogger("test"))


def test_what_an_earlier_attempt_of_the_same_task_waited_for_is_taken_back_and_what_it_reserved_stays(
    connect: Connect, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "running"}
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        purse(hook).hold(calls(hook), 0.04)
        left = Entry("labels", "day-2026-12-01-CNY", purse(hook).owner, "c" * 12, "new", 1, 500)
        write(left, note(hook))
        assert take_back(calls(hook), ledger(), note(hook, "try 2"), time.time())
    assert ledger().waiting == []
    assert len(ledger().reserved) == 1


def test_of_chat_calls_all_that_is_reserved_stays_spent_since_the_platform_shows_none() -> None:
    asked = ClaimNote(dag_id="reviews", run_id="run_1", task_id="job", rows=40)
    ended = Batch(id="batch_1", status="completed")
    assert [billed_share([ended], asked), billed_share([ended], replace(asked, is_chat=True))] == [0.0, 1.0]
    assert billed_share([], replace(asked, is_chat=True)) == 0.0, "chat calls follow batches"


def test_what_a_run_has_settled_stays_as_it_is_if_it_died_before_it_gave_back_the_rest(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "failed"}
    with KimiSimulator(speed=0, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path), run_of(1))
        sim.advance(60)
        (reserved,) = ledger().reserved
        number = ledger().next_number(time.time())
        hook = KimiHook()
        (entry,) = (entry for entry in reserved.entries if entry.kind == "reserved")
        write(entry._replace(kind="spent", number=number, micro=7), note(hook))
        run_task(job(tmp_path), run_of(2))
    assert ledger().spent == 7
    assert len(ledger().reserved) == 1


def test_what_was_reserved_through_another_connection_is_not_taken_back(
    connect: Connect, tmp_path: Path, airflow: VariableKeeper
) -> None:
    airflow.states = {"job": "failed"}
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        purse(hook, conn_id="another").hold(calls(hook), 0.04)
        with pytest.raises(AirflowFailException, match=r"0\.04 reserved by 1 other"):
            run_task(job(tmp_path), run_of(2))


def test_what_a_job_has_spent_in_an_earlier_window_counts_there_and_not_again(
    connect: Connect, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        purse(hook).hold(calls(hook), 0.03)
        purse(hook).settle(calls(hook), {"amount": 0.02})
        define(airflow, '{"amount": 0.1, "per": "month"}')
        purse(hook).hold(calls(hook), 0.05)
        purse(hook).settle(calls(hook), {"amount": 0.05})
    spent = {entry.window.split("-")[0]: entry.micro for entry in read_budget("labels") if entry.kind == "spent"}
    assert spent == {"day": 20_000, "month": 30_000}


def test_what_is_spent_is_noted_even_if_the_budget_is_no_longer_defined(
    connect: Connect, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        purse(hook).hold(calls(hook), 0.03)
        define(airflow, json.dumps("nonsense"))
        purse(hook).settle(calls(hook), {"amount": 0.02})
    assert ledger().spent == 20_000
    assert ledger().reserved == []


def test_a_window_is_forgotten_only_if_nothing_was_added_to_it_for_a_long_time(
    connect: Connect, airflow: VariableKeeper
) -> None:
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim)
        now = int(time.time() * 1000)
        for window, numbers in {"old": [1, 2], "live": [1, now]}.items():
            for number in numbers:
                write(Entry("labels", window, "0" * 16, "c" * 12, "spent", number, 5), note(hook))
        purse(hook, "try 2").hold(calls(hook), 0.03)
    assert sorted(entry.number for entry in read_budget("labels") if entry.window == "live") == [1, now]
    assert not [entry for entry in read_budget("labels") if entry.window == "old"]
