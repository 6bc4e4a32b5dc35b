"""A key, rows and answers that nobody may find in what a real Airflow writes, but where they are documented to be."""

import configparser
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from tests.real_airflow.conftest import SLOW, World
from tests.support.real_airflow import wait_for

pytestmark = [pytest.mark.real_airflow, pytest.mark.slow]

KEY, ORGANIZATION = "sk-canarykey0123456789", "org-canaryorg0123"
ROW, ANSWER, TEMPLATE = "canaryrow", "canaryanswer", "canarytemplate"
CANARIES = (KEY, "canarykey", ORGANIZATION, ROW, ANSWER, TEMPLATE)

#: Where a canary is allowed to be, and why.
ALLOWED = {
    "a DAG's source, and its parameters in Airflow's database": (
        TEMPLATE,
        ("dag_code.source_code", "serialized_dag.data", "rendered_task_instance_fields.rendered_fields"),
    ),
}

#: What a landing writes into `output`: rows are columns of the results, prompts are in dead letters and in the page.
OF_OUTPUT = (ROW, ANSWER, TEMPLATE)

#: Routes of the page of batches, as the administrator asks them.
PAGES = (
    "/kimi/connections",
    *(f"/kimi/{name}?conn_id=kimi_canary" for name in ("account", "batches", "budgets", "spend")),
    "/kimi/task?dag_id=canary_successes&run_id=kimi_canary&task_id=deferred&map_index=-1",
)

RUNS = ("canary_successes", "canary_failures")


def answer(request: Mapping[str, Any]) -> Answer | RowError:
    """Fail every third row of a batch, so that a chat call asks it again."""
    if str(request["custom_id"]).endswith("2"):
        return RowError("invalid_request_error", "Input token length too long")
    return Answer(f"{ANSWER} yes")


@dataclass
class Found:
    """What was looked through, and the places where a canary was."""

    places: set[tuple[str, str]]
    looked_at: int = 0

    def look(self, place: str, content: object, canaries: tuple[str, ...] = CANARIES) -> None:
        text = (content.decode(errors="replace") if isinstance(content, bytes) else str(content)).lower()
        self.looked_at += 1
        self.places |= {(canary, place) for canary in canaries if canary in text}


def values_in(database: Path) -> Iterator[tuple[str, object]]:
    """Every value of every table, by table and column."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in rows.description]
            for row in rows.fetchall():
                yield from ((f"{table}.{column}", value) for column, value in zip(columns, row, strict=True))


def fernet_of(home: Path) -> Fernet:
    """What Airflow encrypts with."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(home / "airflow.cfg")
    return Fernet(config["core"]["fernet_key"].encode())


def look_at_database(found: Found, home: Path) -> int:
    """Look at all values, and at those of triggers decrypted; returns how many triggers there are."""
    fernet, triggers = fernet_of(home), 0
    for place, value in values_in(home / "airflow.db"):
        found.look(place, value)
        if place == "trigger.kwargs" and value:
            triggers += 1
            with suppress(InvalidToken):  # it is not encrypted
                found.look("decrypted trigger.kwargs", fernet.decrypt(str(value).encode()))
    return triggers


def look_at_processes(found: Found) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.look("command line of a process", (process / "cmdline").read_bytes())
            found.look("environment of a process", (process / "environ").read_bytes())


@pytest.fixture
def platform() -> Iterator[KimiSimulator]:
    with KimiSimulator(api_key=KEY, timing=SLOW, responder=answer) as platform:
        said = f"Rate limit of <{ORGANIZATION}> reached, key {KEY[:8]}***{KEY[-4:]}"
        platform.inject("list_batches", status=429, error_type="rate_limit_reached_error", message=said, retry_after=1)
        echo = f"your message 'Canarytemplate {ROW} 2' is refused for {ORGANIZATION}"
        platform.inject("chat", status=400, error_type="invalid_request_error", message=echo, times=None)
        yield platform


def test_no_key_row_or_answer_is_where_it_is_not_documented_to_be(world: World, platform: KimiSimulator) -> None:
    airflow, folder = world.airflow, world.folder / "canaries"
    folder.mkdir()
    (folder / "rows.csv").write_text("id,text\n" + "".join(f"r{n},{ROW} {n}\n" for n in range(3)))
    for conn_id, key in {"kimi_canary": KEY, "kimi_canary_wrong": f"{KEY}wrong"}.items():
        fields = {"connection_id": conn_id, "conn_type": "kimi", "host": platform.base_url, "password": key}
        airflow.call("POST", "/api/v2/connections", fields)
    conf = {"input": str(folder / "rows.csv"), "output": str(folder / "out"), "cache": str(folder / "cache")}
    runs = [(dag_id, conn_id) for dag_id in RUNS for conn_id in ("kimi_canary", "kimi_canary_wrong")]
    found, most_triggers = Found(set()), 0
    for dag_id, conn_id in runs:
        airflow.run_dag(dag_id, conn_id, {"conn": conn_id, **conf, "output": f"{folder}/out/{conn_id}/{dag_id}"})

    def step() -> bool:
        nonlocal most_triggers
        most_triggers = max(most_triggers, look_at_database(found, airflow.home))
        look_at_processes(found)
        if most_triggers:
            platform.advance(4000)
        return all(airflow.run_state(dag_id, run_id) in ("success", "failed") for dag_id, run_id in runs)

    try:
        wait_for(step, "the runs did not end", pause=1)
    finally:
        states = {run: airflow.task_states(*run) for run in runs}
        print(json.dumps({str(run): state for run, state in states.items()}, indent=1))
    look_at_database(found, airflow.home)
    for path in [*airflow.home.rglob("*.log*"), *airflow.home.rglob("*.out"), *airflow.home.rglob("*.err")]:
        found.look(f"log {path.relative_to(airflow.home)}", path.read_bytes())
    shown = airflow.call("GET", "/api/v2/connections?limit=1000")
    found.look("connections over REST", [one for one in shown["connections"] if "canary" in one["connection_id"]])
    found.look("connection test", airflow.call("POST", "/api/v2/connections/test", fields))
    for page in (*PAGES, *(f"/kimi/batch?conn_id=kimi_canary&batch={batch_id}" for batch_id in platform.batches)):
        found.look(page, airflow.call("GET", page))
    found.look("the simulator's journal", platform.journal)
    for folder_of, documented in ((folder / "out", OF_OUTPUT), (folder / "cache", (ANSWER,))):
        for path in filter(Path.is_file, folder_of.rglob("*")):
            others = tuple(canary for canary in CANARIES if canary not in documented)
            found.look(f"{path.relative_to(folder)}", path.read_bytes(), others)
    allowed = {(canary, place) for canary, places in ALLOWED.values() for place in places}
    assert found.places - allowed == set()
    assert allowed <= found.places, "the search does not see what is there"
    assert most_triggers
    assert states["canary_successes", "kimi_canary"] == dict.fromkeys(
        ("create", "wait", "results", "deferred", "in_worker", "decorated"), "success"
    )
    assert (folder / "out" / "kimi_canary" / "canary_successes" / "chain" / "manifest.json").exists()
