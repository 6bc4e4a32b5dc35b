"""A wait that a person marks success returns no ids, and the results land what its create has made all the same."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_kimi.simulator import KimiSimulator

DAGS = Path(__file__).parent / "dags"


@dataclass
class Runs:
    """What runs left behind in which Airflow marked waits success in place of running them."""

    output: Path
    states: dict[str, str]
    log: str

    def statuses(self, directory: str) -> Counter[str]:
        rows = (self.output / directory / "results.jsonl").read_bytes().split(b"\n")
        return Counter(json.loads(row)["status"] for row in rows if row)

    def batch_ids(self, directory: str) -> list[str]:
        ids: list[str] = json.loads((self.output / directory / "manifest.json").read_text())["batch_ids"]
        return ids


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("marked")
    with KimiSimulator(speed=100) as sim:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "OUTPUT": str(folder / "out"),
            "AIRFLOW_CONN_KIMI_DEFAULT": json.dumps(
                {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
            ),
        }
        for command in (["-m", "airflow", "db", "migrate"], [str(DAGS / "marked_waits.py")]):
            done = subprocess.run(
                [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    states = json.loads((folder / "out" / "states.json").read_text())
    return Runs(folder / "out", states, done.stdout + done.stderr)


@pytest.mark.parametrize("dag_id", ["one", "rendered"])
def test_the_results_after_a_wait_that_is_marked_success_land_the_batches_of_its_create(
    runs: Runs, dag_id: str
) -> None:
    assert runs.states[dag_id] == "success"
    assert runs.statuses(dag_id) == {"succeeded": 2}
    said = (
        "Task marked returned no batch ids: somebody has marked it success, or it does not push them. Landing the "
        f"batches that task create created: {runs.batch_ids(dag_id)[0]}"
    )
    assert said in runs.log


def test_only_the_ids_that_are_missing_in_a_list_are_taken_from_a_create(runs: Runs) -> None:
    assert runs.states["two"] == "success"
    assert runs.statuses("two") == {"succeeded": 3}
    assert len(runs.batch_ids("two")) == 2


def test_a_mapped_landing_takes_the_ids_of_the_create_of_its_own_index(runs: Runs) -> None:
    assert runs.states["mapped"] == "success"
    assert [runs.statuses(f"mapped/{index}")["succeeded"] for index in range(2)] == [1, 2]
    assert runs.batch_ids("mapped/0") != runs.batch_ids("mapped/1")


def test_a_landing_of_mapped_waits_names_the_batches_whose_wait_is_marked_success(runs: Runs) -> None:
    """Airflow leaves out the instances of a mapped task that returned nothing."""
    assert runs.states["partly"] == "success"
    (landed,) = runs.batch_ids("partly")
    said = r"Task create has created batches that are not in batch_id, .* pass them: (batch_\w+, batch_\w+)"
    found = re.search(said, runs.log)
    assert found
    assert landed in found[1], "the one whose wait has run is among them"


def test_a_landing_that_cannot_tell_which_ids_are_missing_names_those_that_it_could_be_given(runs: Runs) -> None:
    assert runs.states["unclear"] == "failed"
    ids = r"\['batch_\w+'\] "
    said = rf"Pass as batch_id those that you want to land, .*: {ids}\(task create_1\); {ids}\(task create_2\)"
    assert re.search(said, runs.log)
    assert not (runs.output / "unclear").exists()
