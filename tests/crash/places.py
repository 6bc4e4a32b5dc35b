"""Where the tests of this folder land, and what a reader finds there who follows the manifest only."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.crash.lander import Fate
from tests.support.s3 import Storage

#: What a landing has written beside a result.
_STAGED = re.compile(r"\.kimi-[0-9a-f]{16}\.")


class Place(Protocol):
    """Where results are landed."""

    @property
    def output(self) -> str:
        """The URI of the directory."""

    def files(self) -> dict[str, bytes]:
        """Everything in it."""

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Make these all that is in it."""

    def put(self, name: str, content: bytes) -> None:
        """Write one file."""


class LocalPlace:
    """A directory on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.output = str(folder)

    def files(self) -> dict[str, bytes]:
        """Everything in it; nothing while it is not there."""
        return {path.name: path.read_bytes() for path in self._folder.iterdir()} if self._folder.exists() else {}

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Make these all that is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for name, content in files.items():
            self.put(name, content)

    def put(self, name: str, content: bytes) -> None:
        """Write one file."""
        (self._folder / name).write_bytes(content)


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

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Make these all that is under it."""
        for name in self.files():
            self._storage.delete(self._prefix + name)
        for name, content in files.items():
            self.put(name, content)

    def put(self, name: str, content: bytes) -> None:
        """Write one file."""
        self._storage.put(self._prefix + name, content)


class Result(NamedTuple):
    """What a reader finds, under the names that it has in the end."""

    manifest: dict[str, Any]
    files: dict[str, bytes]


def result_in(files: Mapping[str, bytes]) -> Result | None:
    """Read a directory by its manifest only, whose files must be there, and as long as it says; None without one."""
    if "manifest.json" not in files:
        return None
    text = files["manifest.json"].decode()
    named = json.loads(text)
    names = [uri.rsplit("/", 1)[1] for field, uri in named.items() if field.endswith("_file") and uri]
    assert {*names} <= {*files}, f"the manifest names {sorted(names)}, and there are {sorted(files)}"
    held = {_STAGED.sub("", name): files[name] for name in names}
    rows = _rows(held)
    if rows is not None:
        counts = {status: count for status, count in named["counts"].items() if status != "total" and count}
        assert Counter(row["status"] for row in rows) == counts
        assert {row["batch_id"] for row in rows} - {None} <= {*named["batch_ids"]}
    manifest = json.loads(_STAGED.sub("", text))
    manifest.pop("former_files", None)
    return Result(manifest, held)


def _rows(held: Mapping[str, bytes]) -> list[dict[str, Any]] | None:
    content = held.get("results.jsonl")
    return None if content is None else [json.loads(line) for line in content.splitlines()]


def staged_in(files: Mapping[str, bytes]) -> list[str]:
    """What is left beside a result."""
    return [name for name in files if name.startswith(".")]


class Run(NamedTuple):
    """How a landing in another process went.

    :param told: What it told of itself, its changes and its fault; empty if it was killed.
    """

    status: int
    seconds: float
    told: dict[str, Any]


class Lander:
    """Lands in processes that can be killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def land(
        self,
        batch_ids: Sequence[str],
        output: str,
        folder: Path,
        *,
        kill_after: float | None = None,
        fate: Fate = None,
        merge_with: str | None = None,
    ) -> Run:
        """Land once.

        :param folder: For its temporary files; it is emptied before.
        :param kill_after: Seconds after which it is killed.
        :param fate: What happens to it, and at which of its changes.
        :param merge_with: The earlier result that a task of a known name merges them into; None for none.
        """
        command = self._command([*batch_ids], output, folder, kill_after=kill_after, fate=fate)
        if merge_with is not None:
            command |= {"merge_with": merge_with, "map_index": 0}
        (run,) = self._landed([command])
        return run

    def land_at_once(self, batch_ids: Sequence[str], output: str, folder: Path) -> list[Run]:
        """Land each batch in the same directory at the same time, as mapped tasks do."""
        return self._landed(
            [
                self._command([batch_id], output, folder.with_name(f"{folder.name}-{number}"), map_index=number)
                for number, batch_id in enumerate(batch_ids)
            ]
        )

    def _command(self, batch_ids: list[str], output: str, folder: Path, **changes: Any) -> dict[str, Any]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        wanted = {"batch_ids": batch_ids, "output": output, "folder": str(folder)}
        return {**wanted, "kill_after": None, "fate": None, "map_index": None, "merge_with": None, **changes}

    def _landed(self, commands: Sequence[Mapping[str, Any]]) -> list[Run]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([{**each, "races": len(commands) > 1} for each in commands]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        told = [_told(Path(command["folder"])) for command in commands]
        return [Run(status, answer["seconds"], each) for status, each in zip(answer["statuses"], told, strict=True)]


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "told.json"
    told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return told


@contextmanager
def lander(batch_ids: Sequence[str]) -> Iterator[Lander]:
    """Start the process that lands, with the connections of this one, and some batches that have ended."""
    command = [sys.executable, "-m", "tests.crash.lander", *batch_ids]
    path = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        yield Lander(process)
        process.communicate(timeout=30)
