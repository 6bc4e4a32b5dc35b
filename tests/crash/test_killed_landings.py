"""Killed at a random moment of its landing, a result is not taken for one, and a retry completes it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol
from uuid import uuid4

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator, RowError
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, spoiling, submit
from tests.support.requests import request as ready
from tests.support.s3 import Storage, s3_server

KILLS = 20
ROWS = 4_000

#: What a whole result of these tests holds.
NAMES = ["dead_letter.jsonl", "error.jsonl", "manifest.json", "output.jsonl", "results.jsonl"]


class Place(Protocol):
    """Where results are landed."""

    @property
    def output(self) -> str:
        """The URI of the directory."""

    def files(self) -> dict[str, bytes]:
        """Everything in it."""


class LocalPlace:
    """A directory on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.output = str(folder)

    def files(self) -> dict[str, bytes]:
        """Everything in it; nothing while it is not there."""
        return {path.name: path.read_bytes() for path in self._folder.glob("*")}


class S3Place:
    """A key prefix in a bucket."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = f"{prefix}/"
        self.output = storage.uri(prefix)

    def files(self) -> dict[str, bytes]:
        """Everything under it."""
        own = (key for key in self._storage.keys() if key.startswith(self._prefix))  # noqa: SIM118
        return {key.removeprefix(self._prefix): self._storage.get(key) for key in own}


@contextmanager
def lander(environment: dict[str, str]) -> Iterator["Lander"]:
    """Start the process that lands."""
    command = [sys.executable, "-m", "tests.crash.lander"]
    path = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    ) as process:
        yield Lander(process)
        process.communicate(timeout=30)


class Lander:
    """Lands in processes that can be killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def land(self, batch_id: str, output: str, folder: Path, kill_after: float | None = None) -> tuple[int, float]:
        """Land once; returns the exit status, and the seconds."""
        folder.mkdir()
        command = {"batch_ids": [batch_id], "output": output, "folder": str(folder), "kill_after": kill_after}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer["status"], answer["seconds"]


@pytest.fixture(scope="module")
def platform() -> Iterator[KimiSimulator]:
    spoilt = {f"{name}{number}": RowError("server_error", "it broke") for name in "rs" for number in range(0, ROWS, 10)}
    with KimiSimulator(speed=0, responder=spoiling(spoilt)) as sim:
        yield sim


@dataclass
class Scene:
    """Two batches that have ended, and places to land them in."""

    batch_ids: list[str]
    new_place: Callable[[str], Place]
    landing: Lander


@pytest.fixture(params=["local", "s3"])
def scene(
    request: pytest.FixtureRequest, platform: KimiSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    connection = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
    environment = {"AIRFLOW_CONN_KIMI_DEFAULT": json.dumps(connection)}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", environment["AIRFLOW_CONN_KIMI_DEFAULT"])
    batch_ids = []
    for name in ("r", "s"):
        wanted = order([ready(f"{name}{number}") for number in range(ROWS)], reuse="never")
        batch_ids += submit(KimiHook(), wanted, ATTEMPT, LogRecord()).batch_ids
    platform.advance(100_000)
    with ExitStack() as stack:

        def new_place(name: str) -> Place:
            return S3Place(bucket, name) if request.param == "s3" else LocalPlace(tmp_path / name)

        if request.param == "s3":
            bucket = Storage(stack.enter_context(s3_server()), uuid4().hex)
            environment[f"AIRFLOW_CONN_{bucket.conn_id.upper()}"] = json.dumps(bucket.connection)
        yield Scene(batch_ids, new_place, stack.enter_context(lander(environment)))


def test_a_result_is_whole_or_none_whenever_its_landing_is_killed(scene: Scene, tmp_path: Path) -> None:
    """Every other time over another batch's result; half of the moments lie where the files appear."""

    def land(place: Place, batch_id: str, name: str, kill_after: float | None = None) -> tuple[int, float]:
        return scene.landing.land(batch_id, place.output, tmp_path / name, kill_after)

    used = scene.new_place("used")
    whole = {}
    for batch_id in scene.batch_ids:
        status, seconds = land(used, batch_id, f"whole-{batch_id}")
        whole[batch_id] = used.files()
        assert (status, sorted(whole[batch_id])) == (0, NAMES)
    moments = Random(20261127)
    left_nothing = 0
    for number in range(KILLS):
        batch_id, other = scene.batch_ids[:: 1 if number % 4 < 2 else -1]
        place = used if number % 2 else scene.new_place(f"new-{number}")
        expected = {
            name: content.replace(used.output.encode(), place.output.encode())
            for name, content in whole[batch_id].items()
        }
        after = moments.uniform(0 if number % 8 < 4 else 0.7 * seconds, seconds)
        status, _ = land(place, batch_id, f"killed-{number}", kill_after=after)
        found = place.files()
        seen = f"kill {number}, after {after:.3f} of {seconds:.3f} s, left {sorted(found)}"
        if "manifest.json" in found:
            assert found in (expected, whole[other]), seen
        left_nothing += status != 0 and "manifest.json" not in found
        assert land(place, batch_id, f"retried-{number}")[0] == 0, seen
        assert place.files() == expected, seen
    assert left_nothing > KILLS / 10, f"only {left_nothing} kills came before there was a result"
