"""One real Airflow and two simulated platforms for the whole folder."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError, Timing
from tests.support.real_airflow import RealAirflow, wait_for
from tests.support.requests import spoiling
from tests.support.reviews import read_rows, reviews_file

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "example_dags"

#: Batches that run until the clock of their platform is moved.
SLOW = Timing(1, 7200, 1)

#: Platforms for tests that want one of their own.
SPARES = 32

#: What the faulty platform does to some rows, by their place in the table.
MISSING_ROWS = (3, 700, 1999)
FAILED_ROWS = (0, 1000)
ODD_ANSWER_ROWS = (10, 11)
ODD_ANSWER = "positive\u2028really\u0085yes"


@dataclass(frozen=True)
class World:
    """All that a test of the main job needs."""

    airflow: RealAirflow
    platform: KimiSimulator
    faulty_platform: KimiSimulator
    reviews: Path
    folder: Path
    spare_platforms: dict[str, KimiSimulator] = field(default_factory=dict)

    def take_platform(self) -> tuple[str, KimiSimulator]:
        """A platform that no other test has used, whose batches run until its clock is moved, and its connection."""
        return self.spare_platforms.popitem()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("real")
    reviews = reviews_file(folder)
    ids = [row["review_id"] for row in read_rows(reviews)]
    spoilt: dict[str, Answer | RowError | None] = {ids[place]: None for place in MISSING_ROWS}
    spoilt |= {ids[place]: RowError("invalid_request_error", "Input token length too long") for place in FAILED_ROWS}
    spoilt |= {ids[place]: Answer(ODD_ANSWER) for place in ODD_ANSWER_ROWS}
    (folder / "home").mkdir()
    shutil.copytree(EXAMPLES, folder / "dags")
    shutil.copytree(HERE / "dags", folder / "dags", dirs_exist_ok=True)
    with (
        ExitStack() as spares,
        KimiSimulator() as platform,
        KimiSimulator(timing=Timing(1, 15, 1), responder=spoiling(spoilt)) as faulty,
    ):
        faulty.inject("get_batch", skip=1, times=12, status=500)
        faulty.inject("get_batch", times=8, hang_seconds=4)
        faulty.inject("download_file", skip=1, cut_after_bytes=50_000)
        connections: dict[str, dict[str, Any]] = {
            "kimi_default": {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key},
            "kimi_faulty": {
                "conn_type": "kimi",
                "host": faulty.base_url,
                "password": faulty.api_key,
                "extra": {"timeout": 2},
            },
        }
        connections["reviews_db"] = {"conn_type": "sqlite", "host": str(folder / "reviews.sqlite")}
        slow = {f"kimi_{n}": spares.enter_context(KimiSimulator(timing=SLOW)) for n in range(SPARES)}
        for conn_id, spare in slow.items():
            fields = {"conn_type": "kimi", "host": spare.base_url, "password": spare.api_key}
            connections[conn_id] = {**fields, "extra": {"timeout": 1200}}
        with RealAirflow(folder / "home", folder / "dags", connections) as airflow:
            yield World(airflow, platform, faulty, reviews, folder, slow)


@dataclass(frozen=True)
class Run:
    """One run of the chain on a platform of its own."""

    airflow: RealAirflow
    platform: KimiSimulator
    dag_id: str
    run_id: str
    output: Path

    def launch(self, **params: str) -> None:
        """Start it."""
        conf = {"conn": self.run_id.removeprefix("on_"), "output": str(self.output), **params}
        self.airflow.run_dag(self.dag_id, self.run_id, conf)

    def calls(self, name: str) -> int:
        """How often the platform was called so."""
        return [call.name for call in self.platform.journal].count(name)

    def statuses(self) -> list[str]:
        """How the batches stand."""
        return [self.platform.status(batch_id) for batch_id in self.platform.batches]

    def log(self, names: str = "*.log") -> str:
        """What its tasks and triggers logged."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return "".join(path.read_text(errors="replace") for path in folder.rglob(names))

    def trigger_log(self) -> str:
        """What the trigger logged."""
        return self.log("*.trigger.*.log")

    def state(self, task_id: str) -> str:
        return self.airflow.task_states(self.dag_id, self.run_id).get(task_id, "-")

    def until(self, task_id: str, state: str) -> None:
        wait_for(lambda: self.state(task_id) == state, f"{task_id} is not {state}")

    def until_the_run_is(self, state: str) -> None:
        """Wait for the state of the run.

        A clear that comes just before Airflow gives the run its last state would leave the cleared tasks to nobody.
        """
        wait_for(lambda: self.airflow.run_state(self.dag_id, self.run_id) == state, f"the run is not {state}")

    def until_cancelled(self) -> None:
        """Wait until the platform is asked to cancel the batch."""
        wait_for(lambda: self.statuses()[0].startswith("cancel"), "the batch goes on")

    def until_tried_again(self, task_id: str) -> None:
        def second() -> bool:
            return bool(self.airflow.task_instance(self.dag_id, self.run_id, task_id)["try_number"] == 2)

        wait_for(second, f"{task_id} has no second try")

    def until_polled(self) -> None:
        """Wait until the triggerer itself looks at the batch."""
        before = self.calls("get_batch")
        wait_for(lambda: self.calls("get_batch") > before + 1, "nobody looks at the batch")

    def finish(self) -> None:
        """Let the platform finish, and the run after it; every row is there once."""
        self.platform.advance(8000)
        self.until("results", "success")
        self.until_the_run_is("success")
        manifest = json.loads((self.output / "manifest.json").read_text())
        assert manifest["counts"]["succeeded"] == manifest["counts"]["total"] == 3
        assert self.statuses() == ["completed"]


@pytest.fixture
def prepare(world: World) -> Iterator[Callable[[str], Run]]:
    """Give runs a platform of their own; they are launched later."""
    runs: list[Run] = []

    def prepared(dag_id: str) -> Run:
        conn, platform = world.take_platform()
        runs.append(Run(world.airflow, platform, dag_id, f"on_{conn}", world.folder / conn))
        return runs[-1]

    yield prepared
    for run in runs:
        with suppress(HTTPError):  # its run was deleted
            print(run.run_id, run.statuses(), run.airflow.task_states(run.dag_id, run.run_id))
        run.platform.advance(10_000)


@pytest.fixture
def start(prepare: Callable[[str], Run]) -> Any:
    """Start runs, and wait until they are deferred."""

    def started(dag_id: str = "paid_once", *, deferred: bool = True) -> Run:
        run = prepare(dag_id)
        run.launch()
        if deferred:
            run.until("wait", "deferred")
            run.until_polled()
        return run

    return started
