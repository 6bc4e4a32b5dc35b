"""Runs that share a budget, each in processes of a real Airflow."""

import json
from pathlib import Path
from urllib.error import HTTPError

import pytest

from airflow_provider_kimi.budgets.ledger import Entry, Ledger
from tests.real_airflow.conftest import World
from tests.support.real_airflow import RealAirflow, wait_for

pytestmark = pytest.mark.real_airflow

RUNS = [f"run_{number}" for number in range(10)]


def trigger(airflow: RealAirflow, run_id: str, conf: dict[str, str]) -> None:
    try:
        airflow.run_dag("budgeted", run_id, conf)
    except HTTPError as error:
        if error.code != 409:  # it was made by a call whose answer was an error
            raise


def ledger(airflow: RealAirflow) -> Ledger:
    found = airflow.call("GET", "/api/v2/variables?limit=100&variable_key_pattern=kimi_claim.shared.")
    return Ledger(entry for one in found["variables"] if (entry := Entry.of(one["key"])))


def test_of_ten_runs_at_once_with_room_for_three_three_submit_and_seven_upload_nothing(
    world: World, tmp_path: Path
) -> None:
    conn, platform = world.take_platform()
    airflow = world.airflow
    defined = json.dumps({"amount": 0.25, "per": "month"})
    airflow.call("POST", "/api/v2/variables", {"key": "kimi_budget_shared", "value": defined})
    for run_id in RUNS:
        trigger(airflow, run_id, {"conn": conn, "output": str(tmp_path)})

    def states() -> list[str]:
        return sorted(airflow.task_states("budgeted", run_id).get("label", "-") for run_id in RUNS)

    wait_for(lambda: set(states()) <= {"deferred", "failed"}, "not every run is decided")
    paid = sorted(call.name for call in platform.journal if call.name in ("upload_file", "create_batch"))
    assert states() == ["deferred"] * 3 + ["failed"] * 7
    assert paid == ["create_batch"] * 3 + ["upload_file"] * 3
    assert len(ledger(airflow).reserved) == 3
    assert "reserved by 3 others" in airflow.task_logs()
    platform.advance(8000)
    wait_for(lambda: states() == ["failed"] * 7 + ["success"] * 3, "the three do not land")
    assert ledger(airflow).reserved == []
    assert 0 < ledger(airflow).spent < 250_000
