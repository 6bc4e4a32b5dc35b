"""The one task and `@task.kimi_batch`, mapped in every way that Airflow has: two DAGs defer, two wait in the worker."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator

#: Each create of a mapped task takes 12 seconds, in which it looks for an equal one of a sibling.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

DAGS = Path(__file__).parent / "dags"


@dataclass
class Runs:
    """What the runs have left."""

    output: Path
    states: dict[str, str]
    tags: list[dict[str, str]]

    def rows(self, directory: str) -> list[dict[str, Any]]:
        """The rows of a result."""
        return [json.loads(line) for line in (self.output / directory / "results.jsonl").read_bytes().splitlines()]

    def manifest(self, directory: str) -> dict[str, Any]:
        """The manifest of a result."""
        found: dict[str, Any] = json.loads((self.output / directory / "manifest.json").read_text())
        return found

    def indexes(self, dag_id: str) -> Counter[str]:
        """The map indexes that the batches of a DAG carry."""
        return Counter(tags["airflow_map_index"] for tags in self.tags if tags["airflow_dag_id"] == dag_id)


def connection(sim: KimiSimulator) -> str:
    return json.dumps({"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("mapped")
    with (
        KimiSimulator(speed=100) as slow,
        KimiSimulator(speed=5000) as quick,
    ):  # a batch of the second has ended at once
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "OUTPUT": str(folder / "out"),
            "AIRFLOW_CONN_KIMI_DEFERRED": connection(slow),
            "AIRFLOW_CONN_KIMI_SYNC": connection(quick),
        }
        for command in (["-m", "airflow", "db", "migrate"], [str(DAGS / "mapped_jobs.py")]):
            done = subprocess.run(
                [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        tags = [dict(batch.metadata or {}) for sim in (slow, quick) for batch in sim.batches.values()]
    states = json.loads((folder / "out" / "states.json").read_text())
    assert set(states.values()) == {"success"}, f"{states}\n{done.stdout}{done.stderr}"
    return Runs(folder / "out", states, tags)


def test_the_mapped_inputs_each_have_a_result_and_equal_ones_share_their_batch(runs: Runs) -> None:
    """One row of the second is asked twice."""
    results = [[row["id"] for row in runs.rows(f"inputs/{index}")] for index in range(3)]
    assert results == [["a"], ["b", "c"], ["a"]]
    found = [runs.manifest(f"inputs/{index}") for index in range(3)]
    assert [each["counts"]["succeeded"] for each in found] == [1, 1, 1]
    assert [each["rounds"] for each in found] == [1, 2, 1]
    assert found[0]["batch_ids"] == found[2]["batch_ids"]
    assert [each["landed_by"]["map_index"] for each in found] == ["0", "1", "2"]
    indexes = runs.indexes("inputs")
    assert indexes["1"] == 2
    assert indexes["0"] + indexes["2"] == 1


def test_the_schema_of_the_answers_may_be_mapped(runs: Runs) -> None:
    parsed = [runs.rows(f"schemas/{index}")[0]["parsed"] for index in range(2)]
    assert parsed[0] == "positive"
    assert isinstance(parsed[1]["stars"], int)
    assert runs.indexes("schemas") == {"0": 1, "1": 1}


def test_the_function_of_a_mapped_decorator_is_called_with_what_it_is_mapped_over(runs: Runs) -> None:
    found = [[row["id"] for row in runs.rows(f"days/{index}")] for index in range(2)]
    assert found == [["mon1x", "mon2x"], ["tue1", "tue2"]]
    assert runs.indexes("days") == {"0": 1, "1": 1}


def test_a_task_of_a_mapped_group_has_the_index_of_its_group(runs: Runs) -> None:
    found = [[row["id"] for row in runs.rows(f"groups/{index}")] for index in range(2)]
    assert found == [["mon1", "mon2"], ["tue1", "tue2"]]
    assert {row["parsed"] for row in runs.rows("groups/0")} == {"positive"}
    tasks = {tags["airflow_task_id"] for tags in runs.tags if tags["airflow_dag_id"] == "groups"}
    assert tasks == {"group.label"}
