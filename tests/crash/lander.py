"""Lands batches again and again, each time in a forked process, which may be killed, or whose disk may be full.

Started with the ids of batches that have ended, which it lands once, so that all is loaded.

Each line of input is a list of landings that run at once, each answer their exit statuses and the seconds that they
took. Told `kill_after`, a process is killed so many seconds after it began to land. Told a `fate`, it meets that at one
of its changes of the output directory. What it has come to stands in `told.json` beside its temporary files, and its id
in `pid`.
"""

import errno
import json
import os
import resource
import signal
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from tests.support.logs import LogRecord
from tests.support.requests import no_pause

#: What happens at a change: the process is killed; this change fails; this one and all later ones fail but removals;
#: no file gets longer than some bytes from then on.
FateKind = Literal["killed", "fails", "full", "short"]

#: What happens, and at which of the changes; None for nothing.
Fate = tuple[FateKind, int] | None

_CHANGES = {"os.rename", "os.link", "os.symlink", "os.remove", "os.truncate"}
_SHORT_BYTES = 100


class DiskFate:
    """Counts the changes of a directory on disk, each before it is made, and strikes at one of them."""

    def __init__(self, folder: str, kind: FateKind, at: int) -> None:
        self._folder = folder
        self._kind = kind
        self._at = at
        self.changes: list[str] = []

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See what this process does."""
        if event in _CHANGES or (event == "open" and _is_write(arguments[2])):
            paths = [str(path) for path in arguments[:2] if str(path).startswith(f"{self._folder}/")]
            if paths:
                self.changes.append(f"{event} {' '.join(map(os.path.basename, paths))}")
                self._strike(event)

    def _strike(self, event: str) -> None:
        number = len(self.changes)
        if self._kind == "killed" and number == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._kind == "short" and number == self._at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (_SHORT_BYTES, resource.RLIM_INFINITY))
        is_full = self._kind == "full" and number >= self._at and event != "os.remove"
        if is_full or (self._kind == "fails" and number == self._at):
            raise OSError(errno.ENOSPC, "No space left on device")


def _is_write(flags: Any) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def land(command: dict[str, Any]) -> None:
    """Land in this process."""
    folder = Path(command["folder"])
    tempfile.tempdir = str(folder)
    (folder / "pid").write_text(str(os.getpid()))
    fate = None
    if command["fate"]:
        fate = DiskFate(command["output"], *command["fate"])
        sys.addaudithook(fate.audit)
    fault = ""
    sleep = time.sleep if command["races"] else no_pause
    number = command["map_index"]
    task = None if number is None else TaskIdentity("dag", "run", "results", number)
    landing = Landing(command["batch_ids"], command["output"], task=task, merge_with=command["merge_with"])
    try:
        collect(Calls(KimiHook(), LogRecord(), sleep), landing)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        told = {"changes": fate.changes if fate else [], "fault": fault}
        (folder / "told.json").write_text(json.dumps(told))


def _forked(command: dict[str, Any]) -> int:
    """Land in a child, which has begun when this returns its id."""
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Airflow prints is no answer
            os.write(begin, b"x")
            land(command)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.read(begun, 1)
    os.close(begun)
    os.close(begin)
    return child


def main() -> None:
    """Fork for each command; for all landings of it at once."""
    # Here, and not once in every child. A storage itself is not opened: its threads do not survive a fork.
    import openai  # noqa: F401
    import s3fs  # type: ignore[import-untyped]  # noqa: F401
    from airflow.providers.amazon.aws.fs import s3  # noqa: F401

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):  # so is what is needed to land
        collect(Calls(KimiHook(), LogRecord(), no_pause), Landing(sys.argv[1:], folder))
    print("ready", flush=True)
    for line in sys.stdin:
        commands = json.loads(line)
        started = time.monotonic()
        children = [_forked(command) for command in commands]
        for child, command in zip(children, commands, strict=True):
            if command["kill_after"] is not None:
                time.sleep(command["kill_after"])
                os.kill(child, signal.SIGKILL)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps({"statuses": statuses, "seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()
