"""Builds the wheel once, tests it in each environment, and prints one table. `CELLS` chooses some by name."""

import os
import re
import shutil
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.matrix.cells import CELLS, CHAINS, LOWEST_CHAINS, LOWEST_UNITS, UNITS, Cell
from tests.matrix.environment import Failed, make, run, versions

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-matrix"
BUILD = ROOT / "build" / "matrix"

#: Whose versions the table shows.
SHOWN = ("openai", "pendulum", "msgspec", "apache-airflow-providers-common-compat")

#: How many environments are tested at a time.
AT_ONCE = 2


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    :param columns: Cells of the table: what each step said, or `failed`.
    """

    cell: Cell
    columns: dict[str, str]
    seconds: int
    passed: bool


def main() -> int:
    """Run the cells, and return the exit code."""
    wanted = os.environ.get("CELLS", "").split()
    if unknown := set(wanted) - {cell.name for cell in CELLS}:
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(cell.name for cell in CELLS)}.")
        return 2
    cells = [cell for cell in CELLS if not wanted or cell.name in wanted]
    wheel, tests = _build()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda cell: _try(cell, wheel, tests), cells))
    table = _table(outcomes)
    (BUILD / "table.md").write_text(table)
    print(table)
    return int(not all(outcome.passed for outcome in outcomes))


def _build() -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; return the wheel, and a directory with the tests and no package."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", BUILD, cwd=ROOT)
    (wheel,), (sdist,) = BUILD.glob("*.whl"), BUILD.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(BUILD, filter="data")
    unpacked = BUILD / sdist.name.removesuffix(".tar.gz")
    shutil.rmtree(unpacked / "airflow_provider_kimi")
    return wheel, unpacked


def _try(cell: Cell, wheel: Path, tests: Path) -> Outcome:
    """Test one cell: each step, whatever came of the ones before."""
    began, columns, logs = time.monotonic(), {}, []
    try:
        python = make(cell, wheel, ENVIRONMENTS / cell.name)
        columns.update(versions(python, SHOWN, BUILD))
    except Failed as failure:
        return _outcome(cell, columns, began, [str(failure)])
    for name, step in STEPS.items():
        try:
            columns[name] = step(cell, python, tests)
        except Failed as failure:
            columns[name] = "failed"
            logs.append(f"{name}:\n{failure}")
        print(f"{cell.name}: {name}: {columns[name]}", flush=True)
    return _outcome(cell, columns, began, logs)


def _outcome(cell: Cell, columns: dict[str, str], began: float, logs: list[str]) -> Outcome:
    if logs:
        (BUILD / f"{cell.name}.log").write_text("\n\n".join(logs))
        print(f"{cell.name}: failed, see build/matrix/{cell.name}.log", flush=True)
    return Outcome(cell, columns, round(time.monotonic() - began), passed=not logs)


def _unit_tests(cell: Cell, python: Path, tests: Path) -> str:
    alone = [] if cell.lowest else sorted(str(path.relative_to(tests)) for path in tests.glob("tests/test_*.py"))
    return _pytest(
        cell, python, tests, [*(f"tests/{name}" for name in (LOWEST_UNITS if cell.lowest else UNITS)), *alone]
    )


def _integration_tests(cell: Cell, python: Path, tests: Path) -> str:
    chains = LOWEST_CHAINS if cell.lowest else CHAINS
    return _pytest(cell, python, tests, [f"tests/integration/test_{name}.py" for name in chains])


def _pytest(cell: Cell, python: Path, tests: Path, paths: list[str]) -> str:
    """Run tests with a home of their own, and return how many passed and were skipped."""
    quiet = ("-q", "-p", "no:cacheprovider", "-W", "default", "--disable-warnings", "-m", "not slow and not long")
    home = BUILD / f"home-{cell.name}"
    said = run(python, "-m", "pytest", *quiet, *paths, cwd=tests, variables={"AIRFLOW_HOME": str(home)})
    found = {word: number for number, word in re.findall(r"(\d+) (passed|skipped)", said.splitlines()[-1])}
    return f"{int(found['passed']):,} passed" + (f", {found['skipped']} skipped" if "skipped" in found else "")


def _one_dag(cell: Cell, python: Path, tests: Path) -> str:
    """Run one DAG by `dag.test()`, in an Airflow of its own; in some cells by Airflow's processes too."""
    _run_dag(python, tests, BUILD / f"dag-{cell.name}")
    if not cell.processes:
        return "landed"
    _run_dag(python, tests, BUILD / f"processes-{cell.name}", "processes")
    return "landed, also by a scheduler and a triggerer"


def _run_dag(python: Path, tests: Path, home: Path, *arguments: str) -> None:
    (home / "dags").mkdir(parents=True)
    program = Path(shutil.copy(tests / "tests" / "matrix" / "one_dag.py", home / "dags"))
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(tests),
    }
    run(python, "-m", "airflow", "db", "migrate", cwd=home, variables=own)
    run(python, program, *arguments, cwd=home, variables=own)


#: What is done in each environment, by its column of the table.
STEPS = {"unit tests": _unit_tests, "integration tests": _integration_tests, "one DAG": _one_dag}


def _table(outcomes: list[Outcome]) -> str:
    """Write the outcomes as a table in Markdown, with the date."""
    heads = ["Airflow", "Python", *SHOWN, *STEPS, "seconds"]
    heads[heads.index(SHOWN[-1])] = "common-compat"
    lines = [heads, ["---"] * len(heads)]
    for outcome in outcomes:
        of_steps = [outcome.columns.get(name, "-") for name in (*SHOWN, *STEPS)]
        lines.append([outcome.cell.airflow, outcome.cell.python, *of_steps, str(outcome.seconds)])
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"Printed by `make matrix` on {datetime.now(UTC):%Y-%m-%d}:\n\n{rows}"


if __name__ == "__main__":
    sys.exit(main())
