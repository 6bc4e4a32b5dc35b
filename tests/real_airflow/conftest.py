"""One real Airflow and two simulated platforms for the whole folder."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError, Timing
from tests.support.real_airflow import RealAirflow
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
        slow = {f"kimi_{n}": spares.enter_context(KimiSimulator(timing=SLOW)) for n in range(SPARES)}
        for conn_id, spare in slow.items():
            fields = {"conn_type": "kimi", "host": spare.base_url, "password": spare.api_key}
            connections[conn_id] = {**fields, "extra": {"timeout": 1200}}
        with RealAirflow(folder / "home", folder / "dags", connections) as airflow:
            yield World(airflow, platform, faulty, reviews, folder, slow)
