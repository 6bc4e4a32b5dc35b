"""The first ten minutes of a user: Airflow, the wheel, nothing else, and the commands and the DAG of README."""

import json
import os
import re
import subprocess
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_kimi import __version__
from tests.docs.run_dags import DAY
from tests.packaging.conftest import ROOT, run
from tests.support.documents import all_blocks
from tests.support.real_airflow import RealAirflow, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

FIRST_DAG = next(block for block in all_blocks("python") if block.is_dag and block.page == "README.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")
TODAY = f"{DAY:YYYY-MM-DD}"
KEY = "sk-simulator"


@dataclass
class Machine:
    """An environment with Airflow and the wheel, and an AIRFLOW_HOME of its own.

    :param seconds: What the wheel took to install beside Airflow.
    """

    folder: Path
    environment: dict[str, str]
    before: set[str]
    after: set[str]
    seconds: float

    def shell(self, command: str) -> str:
        return run("sh", "-c", command, cwd=self.folder, env=self.environment)


@pytest.fixture(scope="module")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "MOONSHOT"))
    } | {
        "PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "MOONSHOT_API_KEY": KEY,
    }

    def pip(*arguments: str | Path) -> str:
        return run("pip", *arguments, cwd=folder, env=environment)

    def installed() -> set[str]:
        return {one["name"] for one in json.loads(pip("list", "--format=json", "--disable-pip-version-check"))}

    airflow = f"apache-airflow=={version('apache-airflow')}"
    pip("install", "--quiet", airflow)
    before, started = installed(), time.monotonic()
    pip("install", "--quiet", airflow, wheel)
    seconds = time.monotonic() - started
    return Machine(folder, environment, before, installed(), seconds)


@pytest.fixture(scope="module")
def base_url(machine: Machine) -> Iterator[str]:
    command: list[str | Path] = [
        machine.folder / "venv" / "bin" / "python",
        "-m",
        "airflow_provider_kimi.simulator",
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, cwd=machine.folder, env=machine.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready, _, url = process.stdout.readline().strip().partition(" ")
        assert ready == "ready"
        yield url
        process.terminate()


def test_the_wheel_brings_little_beside_airflow(machine: Machine) -> None:
    added = machine.after - machine.before
    own = sum(path.stat().st_size for path in _installed(machine).rglob("*") if path.is_file())
    print(f"installed in {machine.seconds:.0f} s: {sorted(added)}; the package has {own / 1e6:.1f} MB with caches")
    assert added >= {"airflow-provider-kimi", "openai"}
    assert len(added) <= 6
    assert own < 10e6


def test_airflow_lists_the_provider(machine: Machine) -> None:
    assert re.search(rf"airflow-provider-kimi\b.*\b{re.escape(__version__)}\b", machine.shell("airflow providers list"))


def test_the_first_dag_of_the_readme_runs_with_its_commands(
    machine: Machine, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, dags, home = (machine.folder / name for name in ("data", "dags", "airflow"))
    for folder in (data / "reviews", dags, home):
        folder.mkdir(parents=True, exist_ok=True)
    reviews = (ROOT / "example_dags" / "data" / "reviews.csv").read_text(encoding="utf-8")
    (data / "reviews" / f"{TODAY}.csv").write_text(reviews, encoding="utf-8")
    (dags / "label_reviews.py").write_text(FIRST_DAG.code.replace("/data/", f"{data}/"), encoding="utf-8")
    (add,) = re.findall(r"^airflow connections add .*$", README, re.MULTILINE)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with RealAirflow(home, dags, {}, python=machine.folder / "venv" / "bin" / "python") as airflow:
        machine.shell(f"{add} --conn-host {base_url}")
        airflow.unpause("label_reviews")
        run = {"dag_run_id": "first", "logical_date": f"{TODAY}T00:00:00Z"}
        airflow.call("POST", "/api/v2/dags/label_reviews/dagRuns", run)
        wait_for(lambda: airflow.run_state("label_reviews", "first") in ("success", "failed"), "the run did not end")
        log = airflow.task_logs()
    assert KEY not in log
    output = data / "labels" / TODAY
    rows = [json.loads(line) for line in (output / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(reviews.splitlines()) - 1 == 60, log
    assert {row["status"] for row in rows} == {"succeeded"}
    assert {row["parsed"] for row in rows} <= {"positive", "negative"}
    assert json.loads((output / "manifest.json").read_text())["status"] == "completed"


def _installed(machine: Machine) -> Path:
    (found,) = (machine.folder / "venv" / "lib").glob("python*/site-packages/airflow_provider_kimi")
    return found
