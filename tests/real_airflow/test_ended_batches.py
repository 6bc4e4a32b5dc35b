"""Batches that no DAG has created start a DAG, through a real asset watcher."""

import shutil
import signal
from pathlib import Path

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.real_airflow.conftest import SLOW
from tests.support.real_airflow import RealAirflow, wait_for
from tests.support.triggers import created

pytestmark = pytest.mark.real_airflow

DAG_ID = "ended_batches"
METADATA = {"team": "reviews"}


def told(airflow: RealAirflow) -> list[str]:
    """The batches of all runs that have succeeded."""
    runs = airflow.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns?order_by=run_after")["dag_runs"]
    done = [run["dag_run_id"] for run in runs if run["state"] == "success"]
    return [batch_id for run_id in done for batch_id in airflow.xcom(DAG_ID, run_id, "told")]


def is_looked_at(platform: KimiSimulator) -> None:
    before = len(platform.journal)
    wait_for(lambda: len(platform.journal) > before, "nobody looks at the list of batches")


def test_each_ended_batch_starts_one_run_even_if_no_triggerer_lives(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "dags").mkdir()
    shutil.copy(Path(__file__).parent / "dags" / f"{DAG_ID}.py", tmp_path / "dags")
    with KimiSimulator(timing=SLOW) as platform:
        hook = connect(platform)
        connection = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
        with RealAirflow(
            tmp_path / "home", tmp_path / "dags", {"kimi_outside": connection}, starts_runs=True
        ) as airflow:
            airflow.unpause(DAG_ID)
            is_looked_at(platform)
            created(hook, 1)
            (first,) = created(hook, 1, METADATA)
            platform.advance(8000)
            wait_for(lambda: told(airflow) == [first], "no run was started")
            airflow.kill("triggerer", signal.SIGKILL)
            (second,) = created(hook, 1, METADATA)
            platform.advance(8000)
            airflow.start("triggerer")
            wait_for(lambda: told(airflow) == [first, second], "no run was started")
            is_looked_at(platform)
            assert told(airflow) == [first, second]
