"""Where labels come from: asset events and lineage, through Airflow's own machinery and in every mode alike."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.lineage import dataset_name, lineage_of_result
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.requests import write_jsonl

DAGS = Path(__file__).parent / "dags"


@dataclass
class Runs:
    """What two runs left behind: one that waited in the triggerer, and one in the worker."""

    base_url: str
    table: str
    output: Path
    asset_events: list[dict[str, Any]]
    lineage: list[dict[str, Any]]

    def manifest(self, dag_id: str) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.output / dag_id / "manifest.json").read_text())
        return manifest

    def ended(self, dag_id: str, task_id: str) -> dict[str, Any]:
        """The lineage event of a task's end."""
        (event,) = (
            event
            for event in self.lineage
            if event["job"]["name"] == f"{dag_id}.{task_id}" and event["eventType"] == "COMPLETE"
        )
        return event


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("provenance")
    table = write_jsonl(folder / "rows.jsonl", [{"id": f"k{number}", "text": "很好"} for number in range(5)])
    lineage = folder / "lineage.jsonl"
    with KimiSimulator(speed=100) as sim:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(lineage), "append": True}
            ),
            "TABLE": table,
            "OUTPUT": str(folder / "out"),
            "AIRFLOW_CONN_KIMI_DEFAULT": json.dumps(
                {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
            ),
        }
        for command in (["-m", "airflow", "db", "migrate"], [str(DAGS / "provenance.py")]):
            done = subprocess.run(
                [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in lineage.read_text().splitlines()]
    assets = json.loads((folder / "out" / "asset_events.json").read_text())
    return Runs(sim.base_url, table, folder / "out", assets, events)


@pytest.mark.parametrize("dag_id", ["deferred", "sync"])
def test_the_event_of_an_asset_carries_the_summary_of_the_manifest(runs: Runs, dag_id: str) -> None:
    manifest = runs.manifest(dag_id)
    events = [event for event in runs.asset_events if event["dag"] == dag_id]
    assert [event["asset"] for event in events] == ["labels", manifest["results_file"]]
    for event in events:
        assert event["extra"] == {key: manifest[key] for key in event["extra"]}
        assert event["extra"]["counts"]["succeeded"] == 5
        assert event["extra"]["cost"]["amount"] > 0
        assert event["extra"]["prompt_fingerprint"].startswith("sha256:")


@pytest.mark.parametrize("dag_id", ["deferred", "sync"])
def test_the_lineage_of_a_result_names_its_files_and_rows(runs: Runs, dag_id: str) -> None:
    event = runs.ended(dag_id, "results")
    assert [(data["namespace"], data["name"]) for data in event["inputs"]] == [("file", runs.table)]
    names = ["results.jsonl", "output.jsonl"]
    assert [data["name"] for data in event["outputs"]] == [str(runs.output / dag_id / name) for name in names]
    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 5


@pytest.mark.parametrize("dag_id", ["deferred", "sync"])
@pytest.mark.parametrize("task_id", ["create", "wait", "results"])
def test_the_lineage_of_every_task_names_its_batch(runs: Runs, dag_id: str, task_id: str) -> None:
    found = runs.ended(dag_id, task_id)["run"]["facets"]["externalQuery"]
    assert found["externalQueryId"] == ",".join(runs.manifest(dag_id)["batch_ids"])
    assert found["source"] == runs.base_url


def test_an_input_that_nobody_can_find_leaves_the_rest_of_the_lineage(hook: KimiHook) -> None:
    manifest = Manifest(
        batch_ids=["batch_1"], counts={"total": 1, "succeeded": 1}, results_file="s3://c@bucket/评/#.csv"
    )
    lineage = lineage_of_result(manifest, hook.kimi_conn_id, "file://elsewhere/x.csv")
    assert [(data.namespace, data.name) for data in lineage.outputs] == [("s3://bucket", "评/#.csv")]
    assert lineage.inputs == []


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://aws_default@bucket/a/b.jsonl", ("s3://bucket", "a/b.jsonl")),
        ("https://key:secret@host:8443/a.csv?X-Amz-Signature=1", ("https://host:8443", "a.csv")),
        ("gs://bucket/b.csv", ("gs://bucket", "b.csv")),
        ("file:///data/x.jsonl", ("file", "/data/x.jsonl")),
        ("/data/x.jsonl", ("file", "/data/x.jsonl")),
    ],
    ids=str,
)
def test_lineage_names_a_data_set_without_its_connection(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name
