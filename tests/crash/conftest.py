"""A platform with batches that have ended, and places to land them in that can fail."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.passed_columns import Selection
from airflow_provider_kimi.results.saved_files import SavedFilesBeside
from airflow_provider_kimi.results.usable_answers import Usable
from airflow_provider_kimi.simulator import KimiSimulator, RowError
from tests.crash.places import Lander, LocalPlace, Place, Result, S3Place, lander, result_in, staged_in
from tests.crash.processes import Chain
from tests.crash.s3_gate import Gate, gate_before
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, TASK, no_pause, order, spoiling, submit
from tests.support.requests import request as ready
from tests.support.s3 import Storage, s3_server

#: A file of the user's own that lies in the directory.
FOREIGN = {"notes.txt": b"mine\n"}


@dataclass
class Platform:
    """Pairs of batches that have ended: of many rows, and of few."""

    sim: KimiSimulator
    many: list[str]
    few: list[str]

    def asked_again(self) -> str:
        """A batch of the rows that the first small batch has not answered."""
        letters = [ready(f"r{row}") for row in range(0, 20, 10)]
        (batch_id,) = submit(KimiHook(), order(letters, reuse="never"), ATTEMPT, LogRecord()).batch_ids
        self.sim.advance(100_000)
        return batch_id

    def repeating(self, output: str) -> str:
        """A batch of five rows, each of which another row repeats; these are in a file in the output."""
        answers, files = Usable(AnswerCheck(), Selection()), SavedFilesBeside(output, TASK)
        saving = Saving(True, None, self.sim.base_url, answers, TASK, files)
        texts = [f"row {row // 2}" for row in range(10)]
        wanted = order(texts, system_prompt="Repeat.", reuse="never", saving=saving)
        (batch_id,) = submit(KimiHook(), wanted, ATTEMPT, LogRecord()).batch_ids
        self.sim.advance(100_000)
        return batch_id

    @contextmanager
    def short(self) -> Iterator[None]:
        """Show half of the answers of the last small batch only, as if the rest came later."""
        file_id = KimiHook().get_batch(self.few[-1]).output_file_id
        assert file_id is not None
        content = self.sim.file_content(file_id)
        lines = content.splitlines(keepends=True)
        self.sim.replace_content(file_id, b"".join(lines[: len(lines) // 2]))
        yield
        self.sim.replace_content(file_id, content)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    spoilt = {f"{name}{number}": RowError("server_error", "it broke") for name in "rs" for number in range(0, 2000, 10)}
    with KimiSimulator(speed=0, responder=spoiling(spoilt)) as sim, pytest.MonkeyPatch.context() as patch:
        connection = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
        patch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(connection))

        def pair(rows: int) -> list[str]:
            wanted = [order([ready(f"{name}{row}") for row in range(rows)], reuse="never") for name in "rs"]
            return [submit(KimiHook(), each, ATTEMPT, LogRecord()).batch_ids[0] for each in wanted]

        found = Platform(sim, pair(2000), pair(20))
        sim.advance(100_000)
        yield found


@dataclass
class Scene:
    """A storage, and landings in it, in this process or in one that fails.

    :param gate: Before the storage; None for a disk.
    """

    platform: Platform
    folder: Path
    lander: Lander
    gate: Gate | None = None
    bucket: Storage | None = None
    work: Path = field(init=False)

    def __post_init__(self) -> None:
        """Name the folder of temporary files."""
        self.work = self.folder / "work"

    def place(self, name: str) -> Place:
        """A new directory."""
        return S3Place(self.bucket, name) if self.bucket else LocalPlace(self.folder / name)

    def land(self, place: Place, output_format: OutputFormat = "jsonl") -> None:
        """Land both small batches in this process."""
        landing = Landing(self.platform.few, place.output, form=Form(output_format))
        collect(Calls(KimiHook(), LogRecord(), no_pause), landing)

    def kill(self) -> None:
        """Kill the process that lands."""
        os.kill(int((self.work / "pid").read_text()), signal.SIGKILL)


@pytest.fixture(scope="module", params=["local", "s3"])
def scene(
    request: pytest.FixtureRequest, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    with ExitStack() as stack:
        if request.param == "local":
            yield Scene(platform, folder, stack.enter_context(lander(platform.few)))
            return
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        gate = stack.enter_context(gate_before(stack.enter_context(s3_server())))
        bucket = Storage(gate.url, uuid4().hex)
        # Else the client asks again five times.
        extra = {**bucket.connection["extra"], "config_kwargs": {"retries": {"max_attempts": 0}}}
        patch.setenv(f"AIRFLOW_CONN_{bucket.conn_id.upper()}", json.dumps({**bucket.connection, "extra": extra}))
        yield Scene(platform, folder, stack.enter_context(lander(platform.few)), gate, bucket)


@dataclass
class Rewriting:
    """A result that is to be replaced by a better one, which may fail at any moment.

    :param old: Everything in the directory before.
    :param new: Everything in it in the end.
    """

    scene: Scene
    place: Place
    old: Mapping[str, bytes]
    new: Mapping[str, bytes]
    _shown: list[Result | None] = field(default_factory=list)

    @property
    def ends(self) -> list[Result | None]:
        """The results that may be found at any moment."""
        return [result_in(self.old), result_in(self.new)]

    def begin(self) -> None:
        """Have the old result there."""
        self.place.restore(self.old)

    def check(self, seen: str, *, is_tidy: bool = False) -> None:
        """Assert that what is there now is the old result or the new one, and that the next landing completes it.

        :param is_tidy: Whether nothing may be left beside the old result.
        """
        found = self.place.files()
        shown = result_in(found)
        assert shown in self.ends, f"{seen}, left {sorted(found)}"
        if found["manifest.json"] == self.old["manifest.json"]:
            assert {name: found.get(name) for name in self.old} == self.old, f"{seen}, left {sorted(found)}"
            assert not is_tidy or not staged_in(found), f"{seen}, left {sorted(found)}"
        self._shown.append(shown)
        self.scene.land(self.place)
        assert self.place.files() == self.new, f"{seen}, left {sorted(found)}"

    def assert_both_were_seen(self) -> None:
        """Assert that the switch lies somewhere in the middle."""
        assert self._shown[0] == self.ends[0]
        assert self.ends[1] in self._shown


@pytest.fixture(params=["jsonl", "csv"])
def rewriting(request: pytest.FixtureRequest, scene: Scene) -> Rewriting:
    """Over a result of the same batches with fewer rows: of the same format, or of another one."""
    place = scene.place(f"over-{uuid4().hex}")
    with scene.platform.short():
        scene.land(place, request.param)
    old = {**place.files(), **FOREIGN}
    place.restore(old)
    scene.land(place)
    new = place.files()
    ours = ["dead_letter.jsonl", "error.jsonl", "manifest.json", "output.jsonl", "results.jsonl"]
    assert sorted(new) == sorted([*ours, *FOREIGN])
    assert sorted(old) == sorted([*ours[:-1], f"results.{request.param}", *FOREIGN])
    assert json.loads(old["manifest.json"])["counts"]["missing"] > 0
    return Rewriting(scene, place, old, new)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    started = Chain()
    yield started
    started.close()
