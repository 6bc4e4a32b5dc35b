"""The chain, or the one task, in a process that kills itself at a given point.

Started once as a module; each line of its input is a command, for which it forks, so that a run costs no import. The
points are counted where the chain touches the world: before and after every call of the API, and at every write,
rename and removal of a file.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.submit import submit
from airflow_provider_kimi.waiting.alone import Alone, InWorker
from airflow_provider_kimi.waiting.wait import until_finished
from tests.support.halves import halved_by
from tests.support.logs import LogRecord
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task

T = TypeVar("T")

#: How much faster than real time the platform of these tests runs, and so do the pauses.
SPEED = 2000.0

ROWS = ["a", "b", "c"]
ROWS_PER_BATCH = 2

_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


#: What the names of files begin with before they are in their place.
_STAGED = re.compile(r"^\.kimi-[0-9a-f]+\.")


class Fate:
    """Counts points, and dies at one of them.

    :param name: Of the points that count for the death; None for any.
    """

    def __init__(self, die_at: int | None, name: str | None = None) -> None:
        self.die_at = die_at
        self.name = name
        self.points: list[str] = []

    def pass_by(self, point: str) -> None:
        """Come to a point."""
        self.points.append(point)
        counted = len(self.points) if self.name is None else self.points.count(self.name)
        if counted == self.die_at and self.name in (None, point):
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See the writes of this process."""
        if event in _WRITES or (event == "open" and _is_write(arguments)):
            self.pass_by(f"{event} {_STAGED.sub('', Path(str(arguments[0])).name)}")


def _is_write(arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    return isinstance(path, (str, bytes)) and bool(flags & (os.O_WRONLY | os.O_RDWR)) and "/dev/" not in str(path)


class MortalHook(KimiHook):
    """A hook whose process may die before and after every call."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in CALLS:
            return found
        return _surrounded(found, name, super().__getattribute__("_fate"))


CALLS = frozenset(
    ("upload_file", "create_batch", "get_batch", "list_batches", "cancel_batch")
    + ("list_files", "list_all_files", "download_file", "delete_file", "list_models")
)


def _surrounded(call: Callable[..., T], name: str, fate: Fate) -> Callable[..., T]:
    def surrounded(*args: Any, **kwargs: Any) -> T:
        fate.pass_by(f"before {name}")
        answer = call(*args, **kwargs)
        fate.pass_by(f"after {name}")
        return answer

    return surrounded


def pause(seconds: float) -> None:
    """Sleep as long as the platform's clock takes for so many seconds."""
    time.sleep(seconds / SPEED)


def run_chain(folder: Path, number: int, fate: Fate) -> list[str]:
    """Submit, wait and land, as the three tasks do."""
    hook, log = MortalHook(fate), LogRecord()
    order = Order(ROWS, Recipe("kimi-k2.6"), max_rows_per_batch=ROWS_PER_BATCH)
    attempt = Attempt(TaskIdentity("dag", "run", "task"), number=number)
    ids = submit(Calls(hook, log, pause), order, attempt).batch_ids

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    watch = Watch(tuple(ids), 30.0)
    event = asyncio.run(until_finished(Alone(InWorker(hook), watch, sleep=sleep), watch, log, sleep=sleep))
    assert event.outcome == "ended", event
    collect(Calls(hook, log, pause), Landing(ids, str(folder / "out")))
    return ids


def run_one_task(
    folder: Path,
    number: int,
    fate: Fate,
    *,
    halves: str | None = None,
    run_id: str = TaskInstanceRecord.run_id,
    **parameters: Any,
) -> list[str]:
    """Do the same in one task, whose rows are asked in up to three rounds.

    :param halves: A shard that the first try halves; None for none.
    :param run_id: Of its run.
    """

    class Job(KimiBatchOperator):
        _sleep = staticmethod(pause)
        _hook_of = staticmethod(lambda conn_id: MortalHook(fate))

    own = {"input": ROWS, "output": f"{folder}/out", "max_rows_per_batch": ROWS_PER_BATCH}
    task = Job(task_id="job", max_rounds=3, **{**own, **parameters})
    if halves and number == 1:  # as if the platform had no room for it
        halved_by(task, halves)
    ti = TaskInstanceRecord(task_id="job", run_id=run_id, try_number=number)
    attempt = run_task(task, ti)
    while (deferred := attempt.deferred) is not None:
        _, arguments = deferred.trigger.serialize()
        fate.pass_by("deferred")
        event = _ended(arguments["batch_ids"], number)
        attempt = resume_task(task, event.to_dict(), number, ti=ti, kwargs=deferred.kwargs)
    ids: list[str] = attempt.value["batch_ids"]
    return ids


def _ended(batch_ids: Iterable[str], number: int) -> BatchEvent:
    """Wait until batches have ended, as the triggerer does for a task that may die meanwhile."""
    hook = KimiHook()
    while True:
        batches = {batch_id: hook.get_batch(batch_id) for batch_id in batch_ids}
        if all(batch.is_terminal for batch in batches.values()):
            break
        pause(1)
    return BatchEvent("ended", {each: BatchEnd.of(batch) for each, batch in batches.items()}, try_number=number)


def _obey(command: dict[str, Any]) -> None:
    """In a forked child: run the chain, and tell how far it came."""
    os.environ.update(command["environment"], AIRFLOW_CONN_KIMI_DEFAULT=json.dumps(command["connection"]))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Airflow logs there
    folder = Path(command["folder"])
    (folder / "pid").write_text(str(os.getpid()))
    tempfile.tempdir = str(folder)  # what a killed process leaves is removed with the folder
    fate = Fate(command["die_at"], command["point"])
    sys.addaudithook(fate.audit)
    job = command["job"]
    number = command["number"]
    ids = run_chain(folder, number, fate) if job is None else run_one_task(folder, number, fate, **job)
    fate.die_at = None
    (folder / "told.json").write_text(json.dumps({"ids": ids, "points": fate.points}))


def _load() -> None:
    """Run once all that the children run, so that none of them imports anything."""
    for run in (run_chain, run_one_task):
        with KimiSimulator(speed=SPEED) as platform, tempfile.TemporaryDirectory() as folder:
            fields = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
            os.environ["AIRFLOW_CONN_KIMI_DEFAULT"] = json.dumps(fields)
            run(Path(folder), 1, Fate(None))


def main() -> None:
    """Fork for each command, and answer with the child's exit status."""
    with redirect_stdout(sys.stderr):
        _load()
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _obey(json.loads(line))
                status = 0
            except BaseException:  # the child must not go on in the loop
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
