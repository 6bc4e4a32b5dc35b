"""Actors: the real code, run with answers that are given in advance, up to the call that has none yet.

An attempt knows nothing but what it was answered. So what it does next is a function of that, and the state of a search
holds answers in place of threads: each sequence of answers is run once, and kept as a node of a tree.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import structs

from airflow_provider_kimi.api.models import Batch, BatchPage, FilePage, Model
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.cancel import cancel_batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.prepare import Prepared, prepare
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.submit import make_batches
from airflow_provider_kimi.waiting.doubles import LOOKS_SECONDS, find_doubles, in_words, suspects
from tests.protocol.world import START, Fault, Pairs, Platform, Request, World
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order

MODEL = "kimi-k2.6"


class Role(NamedTuple):
    """Who an actor is.

    :param instance: Its task instance, from 0.
    :param number: The attempt of it, or of the create whose batch is waited for.
    :param waits_for: The batches that a wait waits for; none for an attempt to create.
    """

    instance: int
    number: int
    waits_for: tuple[str, ...] = ()


class Asked(BaseException):
    """The actor has come to a call that has no answer yet."""

    def __init__(self, request: Request) -> None:
        self.request = request


class Script:
    """The hook of an actor, its pauses, and Airflow's notes for it.

    The random part of a create's mark differs whenever an actor is run, so outside it is replaced by its instance and
    the shard.
    """

    kimi_conn_id = "kimi_default"
    requests_per_minute = None
    settings = SimpleNamespace(base_url="https://api.moonshot.cn/v1", billing_region="cn")

    def __init__(self, role: Role, answers: Sequence[Any]) -> None:
        self._instance = role.instance
        self._answers = iter(answers)
        self._marks: dict[str, str] = {}

    def _ask(self, name: str, *parameters: Any) -> Any:
        for answer in self._answers:
            if isinstance(answer, Fault):
                raise answer.error()
            return answer
        raise Asked(Request(name, parameters))

    def sleep(self, seconds: float) -> None:
        self._ask("sleep", int(seconds))

    def list_models(self) -> list[Model]:
        return [Model(id=MODEL)]

    def list_files(self) -> Any:
        return self._ask("list_files")

    def list_all_files(self) -> Any:
        return FilePage(self._ask("list_files"))

    def upload_file(self, content: Any, filename: str) -> Any:
        return self._ask("upload_file", filename, len(content.read()))

    def delete_file(self, file_id: str) -> Any:
        return self._ask("delete_file", file_id)

    def create_batch(self, input_file_id: str, *, completion_window: str, metadata: dict[str, str]) -> Any:
        attempt, call, _ = metadata["kimi_create"].split(".")
        outside = f"{attempt}.{call}.of{self._instance} {metadata['kimi_shard']}"
        self._marks[outside] = metadata["kimi_create"]
        return self._inside(self._ask("create_batch", input_file_id, Pairs(metadata, kimi_create=outside)))

    def get_batch(self, batch_id: str) -> Batch:
        return self._inside(self._ask("get_batch", batch_id))

    @property
    def clock_skew_seconds(self) -> float:
        """The platform's clock stands at the start: nothing in these worlds is an hour old."""
        return START - time.time()

    def list_batches(self, *, after: str | None = None, limit: int = 100) -> BatchPage:
        page = self._ask("list_batches", after, limit)
        return BatchPage(list(map(self._inside, page.data)), page.has_more)

    def cancel_batch(self, batch_id: str) -> Batch:
        return self._inside(self._ask("cancel_batch", batch_id))

    def _inside(self, batch: Batch) -> Batch:
        """A batch with the mark that this run knows it by."""
        metadata = batch.metadata or {}
        mark = self._marks.get(metadata.get("kimi_create", ""))
        return structs.replace(batch, metadata={**metadata, "kimi_create": mark}) if mark else batch

    def get(self, key: str, default: Any = None) -> Any:
        """Read Airflow's note."""
        note = self._ask("recall", self._instance)
        return msgspec.json.decode(note) if note else default

    def set(self, key: str, value: Any) -> None:
        """Write Airflow's note."""
        self._ask("note", self._instance, msgspec.json.encode(value))


@cache
def prepared() -> tuple[Order, Prepared, Path]:
    """Two checked rows, cut into one shard: the input of every attempt."""
    folder, wanted = Path(mkdtemp(prefix="kimi-protocol-")), order(["a", "b"])
    return wanted, prepare(wanted, folder, LogRecord()), folder


def job_of(world: World, role: Role, script: Script, log: LogRecord) -> Job:
    wanted, checked, _ = prepared()
    task = TASK if world.siblings == 1 else replace(TASK, map_index=role.instance)
    attempt = Attempt(task, role.number, f"{role.instance}:{role.number}", is_last=False, run_after=START - 100)
    calls = Calls(cast(KimiHook, script), log, script.sleep, jitter=lambda: 0.0)
    memory = script if world.remembers else None
    cut = {ShardName(1, 1)} if (role.instance, role.number) in world.halves else ()
    return Job(calls, replace(wanted, reuse=world.reuse), attempt, checked, memory, cut=frozenset(cut))


def submits(job: Job) -> tuple[Batch, ...]:
    """What `submit` does once the input is prepared."""
    made = make_batches(job, prepared()[2])
    return tuple(made.batches[label] for label in made.job.labels)


def waits(job: Job, batch_ids: Sequence[str]) -> tuple[Batch, ...]:
    """What a wait does about doubles, with its own decisions; it only waits the longer for a late look."""
    calls = job.calls
    ours, slept = {batch_id: calls.read_batch(batch_id) for batch_id in batch_ids}, 0.0
    for moment in LOOKS_SECONDS if suspects(ours.values()) else ():
        calls.sleep(moment - slept)
        slept = moment
        for double in find_doubles(ours, find_batches(calls, lambda _: True).batches):
            calls.log.warning("%s", in_words(double))
            if double.is_own and double.batch.is_cancellable:
                cancel_batch(calls, double.batch.id)
    return tuple(ours.values())


@dataclass(eq=False)
class Node:
    """An actor after some answers.

    :param request: What it asks for now; None once it has ended.
    :param ended: What it has returned or raised.
    :param named: Batches that it has named in its log or its error.
    """

    answers: tuple[Any, ...]
    request: Request | None = None
    ended: tuple[Batch, ...] | KimiError | None = None
    named: frozenset[str] = frozenset()
    after: dict[Any, "Node"] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """The message that it has ended with; empty if it has not failed."""
        return str(self.ended) if isinstance(self.ended, KimiError) else ""


class Actor(NamedTuple):
    """An actor in a state.

    :param wakes: When it goes on, in unix seconds.
    :param is_dead: Whether it was killed, or its task was cleared.
    """

    role: Role
    node: Node
    wakes: int
    is_dead: bool = False

    @property
    def runs(self) -> bool:
        return not self.is_dead and self.node.request is not None


class Left(NamedTuple):
    """What may still go wrong; see `World`."""

    kills: int = 0
    faults: int = 0
    refusals: int = 0
    zombies: int = 0
    clears: int = 0

    def less(self, kind: str) -> "Left | None":
        """What is left after one more of a kind; None if there was none."""
        count = getattr(self, kind)
        return self._replace(**{kind: count - 1}) if count else None


class State(NamedTuple):
    """Everything between two steps."""

    now: int
    platform: Platform
    actors: tuple[Actor, ...]
    left: Left

    def waits(self) -> list[Actor]:
        """Waits, also those whose attempt was cleared."""
        return [actor for actor in self.actors if actor.role.waits_for]


class Actors:
    """All actors of a world, as far as they were run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._roots: dict[Role, Node] = {}

    def begin(self, role: Role) -> Node:
        if role not in self._roots:
            self._roots[role] = self._run(role, ())
        return self._roots[role]

    def go_on(self, role: Role, node: Node, answer: Any) -> Node:
        if answer not in node.after:
            node.after[answer] = self._run(role, (*node.answers, answer))
        return node.after[answer]

    def _run(self, role: Role, answers: tuple[Any, ...]) -> Node:
        script, log, node = Script(role, answers), LogRecord(), Node(answers)
        job = job_of(self._world, role, script, log)
        try:
            node.ended = waits(job, role.waits_for) if role.waits_for else submits(job)
        except Asked as asked:
            node.request = asked.request
        except KimiError as error:
            node.ended = error.with_traceback(None)
        said = "\n".join([*log.infos, *log.warnings, node.error])
        node.named = frozenset(re.findall(r"batch_\d+", said))
        return node
