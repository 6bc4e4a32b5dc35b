"""Airflow's deadline beside a wait: people are told, and the wait goes on."""

import json

import pytest

from tests.real_airflow.conftest import World
from tests.support.documents import all_blocks
from tests.support.real_airflow import wait_for

pytestmark = pytest.mark.real_airflow

DAG_ID, RUN = "label_by_morning", "late"


def recipe(world: World, conn_id: str) -> str:
    """The DAG of the recipes, with files in the folder of the tests, on a connection, and due after seconds."""
    (block,) = (block for block in all_blocks("python") if f'"{DAG_ID}"' in block.code)
    changes = {
        "/data/reviews/{{ ds }}.csv": str(world.folder / "dags" / "data" / "reviews.csv"),
        "/data/labels_by_morning/{{ ds }}": str(world.folder / DAG_ID),
        "timedelta(hours=20)": "timedelta(seconds=5)",
        'task_id="label",': f'task_id="label", kimi_conn_id="{conn_id}",',
    }
    code = block.code
    for shown, changed in changes.items():
        assert code.count(shown) == 1
        code = code.replace(shown, changed)
    return code


def test_a_deadline_of_a_dag_tells_people_while_its_task_waits_on(world: World) -> None:
    conn_id, platform = world.take_platform()
    (world.folder / "dags" / f"{DAG_ID}.py").write_text(recipe(world, conn_id), encoding="utf-8")
    airflow = world.airflow
    airflow.run_dag(DAG_ID, RUN)
    logs = airflow.home / "logs" / "executor_callbacks" / DAG_ID / RUN
    wait_for(lambda: any("was due at" in log.read_text() for log in logs.glob("*")), "nobody was told")
    wait_for(lambda: airflow.task_states(DAG_ID, RUN) == {"label": "deferred"}, "the task does not wait")
    assert [platform.status(batch_id) for batch_id in platform.batches] == ["in_progress"]
    platform.advance(8000)
    wait_for(lambda: airflow.run_state(DAG_ID, RUN) == "success", "the run did not end")
    manifest = json.loads((world.folder / DAG_ID / "manifest.json").read_text())
    assert manifest["counts"]["succeeded"] == 60
