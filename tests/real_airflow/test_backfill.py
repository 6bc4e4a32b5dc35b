"""A backfill of 30 runs, whose account may send 20 requests a minute."""

import json
import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator, RowError
from tests.real_airflow.conftest import World
from tests.support.real_airflow import wait_for
from tests.support.rounds import Model

pytestmark = [pytest.mark.real_airflow, pytest.mark.slow]

RUNS = 30

#: How much faster than real time the platform runs; so many times more requests are let through in a real minute.
SPEED = float(os.environ.get("BACKFILL_SPEED", "10"))


def fails_once(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
    """The first row of every fifth day."""
    day, number = custom_id.split("_")
    is_odd = int(day[-2:]) % 5 == 0 and number == "0" and times == 1
    return RowError("server_error", "try again", 500) if is_odd else Answer("positive")


def is_begun(world: World, backfill: Mapping[str, Any]) -> bool:
    """Start a backfill; on SQLite that fails where somebody else writes meanwhile."""
    try:
        world.airflow.call("POST", "/api/v2/backfills", backfill)
    except HTTPError as error:
        if error.code != 503:
            raise
        return False
    return True


def test_thirty_runs_of_a_backfill_at_twenty_requests_a_minute_all_end(world: World, tmp_path: Path) -> None:
    limited = Behaviour(calls_per_minute=20, retry_after_seconds=20 / SPEED)
    with KimiSimulator(speed=SPEED, behaviour=limited, responder=Model(fails_once)) as sim:
        extra = {"requests_per_minute": 20 * SPEED}
        fields = {"connection_id": "kimi_limited", "conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
        world.airflow.call("POST", "/api/v2/connections", {**fields, "extra": json.dumps(extra)})
        world.airflow.unpause("backfilled")
        backfill = {
            **{"dag_id": "backfilled", "from_date": "2026-10-01T00:00:00Z", "to_date": "2026-10-30T00:00:00Z"},
            **{"max_active_runs": RUNS, "dag_run_conf": {"conn": "kimi_limited", "output": str(tmp_path)}},
        }
        world.airflow.kill("scheduler", signal.SIGTERM)  # it dies of runs that Airflow takes back where SQLite is busy
        wait_for(lambda: is_begun(world, backfill), "SQLite was busy")
        world.airflow.start("scheduler")

        def states() -> Counter[str]:
            runs = world.airflow.call("GET", "/api/v2/dags/backfilled/dagRuns?limit=100")["dag_runs"]
            return Counter(run["state"] for run in runs)

        try:
            wait_for(lambda: states().keys() <= {"success", "failed"}, "the runs did not end", seconds=1500, pause=2)
        finally:
            calls = Counter((call.name, call.status) for call in list(sim.journal))
            print(states(), dict(calls), f"{sim.now() - sim.journal[0].at:.0f} simulated seconds")
        assert states() == {"success": RUNS}
        assert {sim.status(batch_id) for batch_id in sim.batches} == {"completed"}
        assert Counter(batch.total for batch in sim.batches.values()) == {5: RUNS, 1: RUNS // 5}
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("*/manifest.json")]
    assert [found["counts"]["succeeded"] for found in manifests] == [5] * RUNS
