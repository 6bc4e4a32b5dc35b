"""The DAG of the documentation, run by Airflow itself: parsed, deferred, resumed and landed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.documents import ROOT, blocks_of

RUN = """

if __name__ == "__main__":
    from airflow.dag_processing.dagbag import DagBag

    run = DagBag(__file__).dags["label_with_common_ai"].test()
    assert run.state == "success", run.state
"""


def python(folder: Path, *command: str, **environment: str) -> str:
    """Run Python beside an Airflow home in this folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    settings = {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    settings["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder / "dags")
    done = subprocess.run(
        [sys.executable, *command],
        env={**inherited, **settings, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_dag_of_the_page_labels_its_rows_under_its_own_tags(tmp_path: Path) -> None:
    (block,) = blocks_of(ROOT / "docs" / "common-ai.md", "py")
    dag = tmp_path / "dags" / "label.py"
    dag.parent.mkdir()
    dag.write_text(block.code.replace("/data/", f"{tmp_path}/data/") + RUN, encoding="utf-8")
    python(tmp_path, "-m", "airflow", "db", "migrate")
    with KimiSimulator(speed=1000) as sim:
        connection = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
        log = python(tmp_path, str(dag), AIRFLOW_CONN_KIMI_DEFAULT=json.dumps(connection))
        (batch,) = sim.batches.values()
    (landed,) = (tmp_path / "data" / "labels").rglob("*.jsonl")
    rows = {row["index"]: row["output"] for row in map(json.loads, landed.read_text(encoding="utf-8").splitlines())}
    assert rows == {0: "positive", 1: "negative"}
    metadata = batch.metadata or {}
    assert (metadata["airflow_dag_id"], metadata["airflow_task_id"]) == ("label_with_common_ai", "label")
    assert sim.api_key not in log
