"""The first DAG of the README, run against every example of the simulator's help."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_kimi.simulator.__main__ import _parser

README = Path(__file__).parents[2] / "README.md"
COMMAND = "python -m airflow_provider_kimi.simulator"
EXAMPLES = re.findall(rf"^    {re.escape(COMMAND)} (.+)$", _parser().format_help(), re.MULTILINE)
DAY = "2026-01-02"
ROWS = 600


@contextmanager
def simulator(options: str) -> Iterator[str]:
    """Run the command of an example on a free port, and give the address that it prints."""
    command = [sys.executable, *COMMAND.split()[1:], *shlex.split(options), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("ready ").strip()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def python(folder: Path, *command: str, **environment: str) -> None:
    """Run Python beside an Airflow home in this folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    settings = {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    settings["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder / "dags")
    done = subprocess.run(
        [sys.executable, *command],
        env={**inherited, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAG of the README with its table, and an Airflow database."""
    folder = tmp_path_factory.mktemp("first")
    data = folder / "data"
    block = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[0]
    block = block.replace("catchup=False):", "catchup=False) as first:")
    run = f"""
if __name__ == "__main__":
    import pendulum

    run = first.test(logical_date=pendulum.parse("{DAY}"))
    assert run.state == "success", run.state
"""
    (folder / "dags").mkdir()
    (folder / "dags" / "first.py").write_text(block.replace("/data", str(data)) + run)
    rows = "".join(f"r{number},{'很好，喜欢' if number % 2 else '太差'}\n" for number in range(ROWS))
    table = data / "reviews" / f"{DAY}.csv"
    table.parent.mkdir(parents=True)
    table.write_text(f"review_id,text\n{rows}")
    python(folder, "-m", "airflow", "db", "migrate")
    return folder


@pytest.mark.parametrize("options", EXAMPLES)
def test_the_first_dag_of_the_readme_succeeds_against_an_example_of_the_simulators_help(
    folder: Path, options: str
) -> None:
    shutil.rmtree(folder / "data" / "labels", ignore_errors=True)
    with simulator(options) as base_url:
        connection = json.dumps({"conn_type": "kimi", "host": base_url, "password": "sk-simulator"})
        python(folder, str(folder / "dags" / "first.py"), AIRFLOW_CONN_KIMI_DEFAULT=connection)
    (path,) = (folder / "data").rglob("manifest.json")
    counts = json.loads(path.read_text())["counts"]
    spoilt = {name: int(count) for name, count in re.findall(r"--(fail|drop)-rows (\d+)", options)}
    assert counts["total"] == ROWS
    assert counts["missing"] == spoilt.get("drop", 0)
    assert counts["succeeded"] == ROWS - sum(spoilt.values())


def test_the_help_of_the_simulator_has_two_examples() -> None:
    assert len(EXAMPLES) == 2
