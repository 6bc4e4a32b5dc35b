"""What the documents show runs: every DAG for one day, every other block as it stands, every simulator command."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, Responder, RowError, label_answer
from airflow_provider_kimi.simulator.__main__ import _parser
from tests.conftest import Connect
from tests.docs.run_dags import DAY
from tests.support.documents import ROOT, Block, all_blocks

BLOCKS = all_blocks("python")
DAGS = [block for block in BLOCKS if block.is_dag]
OTHERS = [block for block in BLOCKS if not block.is_dag]
FIRST_DAG = next(block for block in DAGS if block.page == "README.md")

#: Without the one that has a deadline, which counts from now on: `tests/real_airflow/test_late_runs.py` runs that.
DISTINCT_DAGS = list({block.code: block for block in DAGS if "DeadlineAlert(" not in block.code}.values())

#: How the documents start the simulator.
COMMAND = re.compile(r"^python -m airflow_provider_kimi\.simulator .*$", re.MULTILINE)
COMMANDS = [line for block in all_blocks("bash") for line in COMMAND.findall(block.code)]

REVIEWS = ROOT / "example_dags" / "data" / "reviews.csv"

TODAY = f"{DAY:YYYY-MM-DD}"


def by_name(blocks: list[Block]) -> dict[str, Any]:
    return {"argvalues": blocks, "ids": [block.name for block in blocks]}


def in_folder(block: Block, folder: Path) -> str:
    """The code of a block, with its files in a folder of the test."""
    return block.code.replace("/data/", f"{folder}/")


@dataclass
class Runs:
    """What the DAGs of some blocks left behind."""

    states: Mapping[str, str]
    asset_events: list[dict[str, Any]]
    folder: Path

    def rows(self, output: str) -> list[dict[str, Any]]:
        lines = (self.folder / output / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def lines(self, database: str, table: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / database)) as opened:
            return opened.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def write_tables(folder: Path) -> None:
    """Write the files that the DAGs read: one a day, and one that grows."""
    (folder / "reviews").mkdir()
    head, *rows = REVIEWS.read_text(encoding="utf-8").splitlines()
    (folder / "reviews" / f"{TODAY}.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    days = [f"{DAY.subtract(days=age):YYYY-MM-DD}" for age in (0, 1, 2)]
    dated = [f"{row},{days[number % 3]}" for number, row in enumerate(rows)]
    (folder / "all_reviews.csv").write_text("\n".join([f"{head},written_on", *dated]), encoding="utf-8")


def run(blocks: list[Block], folder: Path, host: str, key: str) -> Runs:
    """Run the DAGs of blocks in an Airflow of their own."""
    data, dags = folder / "data", folder / "dags"
    data.mkdir()
    dags.mkdir()
    write_tables(data)
    for block in blocks:
        (dags / f"{block.name}.py").write_text(in_folder(block, data), encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW_CONN_KIMI_DEFAULT": json.dumps({"conn_type": "kimi", "host": host, "password": key}),
    }
    report = folder / "report.json"
    for arguments in (["airflow", "db", "migrate"], ["tests.docs.run_dags", str(dags), str(report)]):
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return Runs(**json.loads(report.read_text()), folder=data)


def forgetful(lost: set[str]) -> Responder:
    """A model that answers some rows at the second time only."""

    def respond(line: Mapping[str, Any]) -> Answer | RowError | None:
        if line["custom_id"] in lost:
            lost.remove(line["custom_id"])
            return None
        return label_answer(line)

    return respond


@contextmanager
def simulator_of_the_documents() -> Iterator[str]:
    """Start the simulator as the documents say, on a free port; yields its address."""
    (command,) = set(COMMANDS)
    arguments = shlex.split(command.replace("--port 8765", "--port 0"))
    with subprocess.Popen([sys.executable, *arguments[1:]], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def both_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runs, Runs]]:
    """The first DAG against the simulator of the documents, and beside it all DAGs against one that forgets rows."""
    first, every = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("every")
    with (
        simulator_of_the_documents() as address,
        KimiSimulator(speed=1000, responder=forgetful({"p001", "p002", "p003"})) as sim,
        ThreadPoolExecutor() as pool,
    ):
        of_first = pool.submit(run, [FIRST_DAG], first, address, "sk-simulator")
        of_every = pool.submit(run, DISTINCT_DAGS, every, sim.base_url, sim.api_key)
        yield of_first.result(), of_every.result()


@pytest.fixture(scope="module")
def runs(both_runs: tuple[Runs, Runs]) -> Runs:
    return both_runs[1]


class TestTheFirstDag:
    def test_the_first_dag_is_the_same_on_every_page_that_shows_it(self) -> None:
        shown = [block.page for block in DAGS if block.code == FIRST_DAG.code]
        assert shown == ["README.md", "getting-started.md"]

    def test_the_first_dag_has_at_most_15_lines_of_code(self) -> None:
        assert len(list(filter(str.strip, FIRST_DAG.code.splitlines()))) <= 15

    def test_the_first_dag_succeeds_against_the_simulator_of_the_documents(self, both_runs: tuple[Runs, Runs]) -> None:
        first, _ = both_runs
        assert first.states == {"label_reviews": "success"}
        found = Counter((row["status"], row["round"]) for row in first.rows(f"labels/{TODAY}"))
        assert found == {("succeeded", 1): 57, ("succeeded", 2): 3}


class TestEveryDag:
    def test_every_dag_of_the_documents_succeeds_for_one_day(self, runs: Runs) -> None:
        assert set(runs.states.values()) == {"success"}, runs.states
        assert len(runs.states) == len(DISTINCT_DAGS)

    def test_the_dag_of_yesterday_labels_the_rows_of_yesterday_only(self, runs: Runs) -> None:
        rows = runs.rows(f"labels_of_yesterday/{TODAY}")
        assert len(rows) == 20
        assert {row["written_on"] for row in rows} == {"2026-11-22"}

    def test_the_dag_that_asks_again_merges_the_rows_that_had_no_answer(self, runs: Runs) -> None:
        first = runs.rows(f"labels_asked_twice/{TODAY}/first")
        merged = runs.rows(f"labels_asked_twice/{TODAY}/merged")
        assert [row["review_id"] for row in merged] == [row["review_id"] for row in first]
        assert {row["review_id"] for row in first if row["content"] is None} == {"p001", "p002", "p003"}
        assert Counter((row["status"], row["round"]) for row in merged) == {("succeeded", 1): 57, ("succeeded", 2): 3}

    def test_the_dag_that_fills_a_table_writes_each_label_once(self, runs: Runs) -> None:
        labels = runs.lines("reviews.sqlite", "labels")
        assert len(labels) == 60
        assert Counter(label for _, label, _, _ in labels).keys() == {"positive", "negative"}


def test_the_history_of_costs_keeps_one_line_for_each_run(runs: Runs) -> None:
    (block,) = (block for block in DAGS if "history_of_costs" in block.code)
    names: dict[str, Any] = {"__file__": str(runs.folder / "costs.py")}
    exec(compile(in_folder(block, runs.folder), block.name, "exec"), names)
    (event,) = (SimpleNamespace(**fields) for fields in runs.asset_events)
    for _ in range(2):
        names["note_costs"].function({names["LABELS"]: [event]})
    (line,) = runs.lines("costs.sqlite", "costs")
    cost = event.extra["cost"]
    assert line == (event.source_dag_id, event.source_run_id, event.extra["completed_at"], 60, cost["amount"], "CNY")


@pytest.mark.parametrize("block", **by_name(OTHERS))
def test_a_block_runs_as_it_stands(block: Block, sim: KimiSimulator, connect: Connect, tmp_path: Path) -> None:
    connect(sim)
    exec(compile(in_folder(block, tmp_path), block.name, "exec"), {"__name__": block.name})


def test_mypy_accepts_every_block(tmp_path: Path) -> None:
    for block in BLOCKS:
        (tmp_path / f"{block.name}.py").write_text(block.code, encoding="utf-8")
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, "--allow-untyped-calls", "--allow-untyped-defs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_the_simulator_knows_every_switch_of_a_command(command: str) -> None:
    assert _parser().parse_args(shlex.split(command)[3:]).port == 8765


def test_the_simulator_knows_every_switch_of_its_page() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    switches = re.findall(r"^\| `(--[a-z]+.*?)` \|", page, re.MULTILINE)
    assert switches
    for switch in switches:
        if "CALL:KIND" not in switch:
            _parser().parse_args(shlex.split(switch))
