"""One task chain on one simulated platform, whose processes die when the schedule says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.kills.cancels import cancel_while_killed
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.submit import submit
from tests.crash.chain import Fate, MortalHook
from tests.support.logs import LogRecord
from tests.support.requests import order
from tests.support.waiting import wait_in_worker


class KilledError(BaseException):
    """The process is gone; nothing catches this but the world."""


class Doom(Fate):
    """Ends a process at its n-th point, or lets something else happen there first."""

    def __init__(self, die_at: int | None, meanwhile: tuple[int, Callable[[], object]] | None = None) -> None:
        super().__init__(None)
        self._death = die_at
        self._meanwhile = meanwhile

    def pass_by(self, point: str) -> None:
        """Come to a point."""
        self.points.append(point)
        if self._meanwhile and len(self.points) == self._meanwhile[0]:
            self._meanwhile[1]()
        if len(self.points) == self._death:
            raise KilledError(point)


@dataclass
class World:
    """What Airflow, the platform and the reader of the logs know."""

    sim: KimiSimulator
    folder: Path
    random: Random
    rows: list[str]
    shard_rows: int
    store: dict[str, Any] | None
    steps: list[str] = field(default_factory=list)
    log: LogRecord = field(default_factory=LogRecord)
    tries: int = 0
    ids: list[str] = field(default_factory=list)

    def note(self, step: str) -> None:
        """Remember a step for the reader of a failure."""
        self.steps.append(f"{self.sim.now() % 1e6:.0f} {step}")

    def order(self, **changes: Any) -> Order:
        """What the task wants now."""
        return order(list(self.rows), max_rows_per_batch=self.shard_rows, **changes)

    def _calls(self, doom: Doom) -> Calls:
        return Calls(MortalHook(doom), self.log, self.sim.advance)

    def create(self, doom: Doom, **changes: Any) -> bool:
        """One try of the create task; whether it succeeded."""
        self.tries += 1
        attempt = Attempt(TaskIdentity("dag", "run", "create"), self.tries, f"try {self.tries}", is_last=False)
        self.note(f"create, try {self.tries} {changes or ''}")
        try:
            found = submit(self._calls(doom), self.order(**changes), attempt, self._memory())
        except KilledError as death:
            self.note(f"killed {death}")
            return False
        except KimiError as error:
            self.note(f"{type(error).__name__}: {error}")
            return False
        self.ids = found.batch_ids
        self.note(f"has {self.ids}")
        return True

    def _memory(self) -> Any:
        return None if self.store is None else _Store(self.store)

    def wait(self, doom: Doom, seconds: float | None) -> bool:
        """One life of the trigger; whether it fired. A deadline cancels what runs."""
        hook = MortalHook(doom)
        deadline = None if seconds is None else self.sim.now() + seconds
        watch = Watch(tuple(self.ids), 300.0, deadline, "cancel")

        try:
            event = wait_in_worker(hook, self.sim, watch, self.log)
        except KilledError as death:
            self.note(f"triggerer killed {death}")
            return False
        self.note(f"{event.outcome} {event.message}")
        return True

    def give_up(self) -> None:
        """A user marks the waiting task failed."""
        self.note("marked failed")
        hook = MortalHook(Doom(None))

        async def cancel(batch_id: str) -> Any:
            return hook.cancel_batch(batch_id)

        async def sleep(seconds: float) -> None:
            self.sim.advance(seconds)

        asyncio.run(cancel_while_killed(cancel, self.ids, self.log, "the task was marked failed", sleep, self.sim.now))

    def land(self, doom: Doom) -> bool:
        """One try of the results task; whether it succeeded."""
        self.note("results")
        try:
            collect(self._calls(doom), Landing(self.ids, str(self.folder)))
        except KilledError as death:
            self.note(f"killed {death}")
            return False
        except KimiError as error:
            self.note(f"{type(error).__name__}: {error}")
            return False
        return True

    def told(self) -> str:
        """Everything that a reader could have read."""
        return "\n".join([*self.steps, *self.log.warnings, *self.log.infos])


@dataclass
class _Store:
    values: dict[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value
