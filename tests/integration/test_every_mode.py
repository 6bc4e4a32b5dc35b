"""A wait ends the same in the triggerer, in a worker slot, and from poke to poke, whatever goes wrong."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.wait import poll_once
from tests.support.logs import LogRecord
from tests.support.triggers import created, fired
from tests.support.waiting import wait_in_worker, waited

#: How the batch stands; `running` does not end in time.
STATUSES = ("completed", "failed", "expired", "cancelled", "running")

REFUSED: dict[str, Any] = {"error_type": "invalid_authentication_error", "message": "Invalid Authentication"}

#: What goes wrong with the polls.
FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {"times": 0},
    "500": {"status": 500, "times": 2},
    "a page of HTML": {"status": 200, "html": True},
    "429": {"status": 429, "error_type": "rate_limit_reached_error", "retry_after": 1},
    "no answer": {"drop": True, "times": 2},
    "404 once": {"status": 404, "error_type": "resource_not_found_error"},
    "404": {"status": 404, "error_type": "resource_not_found_error", "times": None},
    "401 once": {"status": 401, **REFUSED},
    "401": {"status": 401, **REFUSED, "times": None},
    "403": {"status": 403, "error_type": "permission_denied_error", "times": None},
    "no money": {"status": 429, "error_type": "exceeded_current_quota_error", "times": None},
}

CASES = [(status, fault) for status in STATUSES for fault in FAULTS]

#: Seconds from the begin of a wait to its deadline: time for some polls, real ones in the triggerer.
ALLOWED_SECONDS = 12.0


class World:
    """A platform of its own for each case, and a connection to it."""

    def __init__(self, number: int, status: str, fault: str, environment: pytest.MonkeyPatch) -> None:
        self.sim = KimiSimulator(speed=0)
        self.conn_id = f"kimi_mode_{number}"
        self.status, self.fault = status, fault
        fields = {"conn_type": "kimi", "host": self.sim.base_url, "password": self.sim.api_key}
        environment.setenv(f"AIRFLOW_CONN_{self.conn_id.upper()}", json.dumps(fields))

    @property
    def hook(self) -> KimiHook:
        return KimiHook(self.conn_id)

    def prepare(self) -> Watch:
        """Bring the batch to its status, and lay the fault in wait."""
        (batch_id,) = created(self.hook, 1)
        batch = self.sim.batches[batch_id]
        self.sim.advance(10)
        if self.status == "cancelled":
            self.hook.cancel_batch(batch_id)
        batch.balance_failure = self.status == "failed"
        if self.status == "expired":
            batch.expires_at = batch.created_at + 5
        if self.status == "running":
            batch.created_at += 1e6
            batch.expires_at += 1e6
        self.sim.advance(50)
        self.sim.inject("get_batch", **FAULTS[self.fault])
        return Watch((batch_id,), 0.5, self.sim.now() + ALLOWED_SECONDS)


@pytest.fixture(scope="module")
def events_of_triggers() -> Iterator[dict[tuple[str, str], BatchEvent]]:
    """All cases at once in one event loop, each with a platform of its own."""
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        worlds = [World(number, *case, environment) for number, case in enumerate(CASES)]
        for world in worlds:
            stack.enter_context(world.sim)
        watches = [world.prepare() for world in worlds]
        deadline = time.time() + ALLOWED_SECONDS
        triggers = [
            KimiBatchTrigger.of(replace(watch, kimi_conn_id=world.conn_id, deadline=deadline))
            for world, watch in zip(worlds, watches, strict=True)
        ]
        yield dict(zip(CASES, fired(triggers), strict=True))


def from_poke_to_poke(world: World, watch: Watch) -> BatchEvent:
    """Wait as `mode="reschedule"` does: every poll is a process of its own, which remembers nothing."""

    async def sleep(seconds: float) -> None:
        world.sim.advance(seconds)

    while True:
        first = poll_once(world.hook, watch, LogRecord(), clock=world.sim.now, sleep=sleep)
        if first.event is not None:
            return first.event
        world.sim.advance(watch.pause_seconds or 0.0)


def in_worker(world: World, watch: Watch) -> BatchEvent:
    return wait_in_worker(world.hook, world.sim, watch)


def alone(world: World, watch: Watch) -> BatchEvent:
    return asyncio.run(waited(world.hook, world.sim, watch))


def summary(event: BatchEvent) -> tuple[object, ...]:
    """What an event says, without what differs from run to run."""
    message = re.sub(r"request \w+|batch_\w+|kimi_mode_\d+|http://\S+", "...", event.message)
    return event.outcome, list(event.batches.values()), message


@pytest.mark.parametrize("mode", [from_poke_to_poke, in_worker, alone], ids=lambda mode: mode.__name__)
@pytest.mark.parametrize(("status", "fault"), CASES)
def test_a_wait_ends_as_it_does_in_the_triggerer(
    events_of_triggers: dict[tuple[str, str], BatchEvent],
    monkeypatch: pytest.MonkeyPatch,
    mode: Callable[[World, Watch], BatchEvent],
    status: str,
    fault: str,
) -> None:
    world = World(999, status, fault, monkeypatch)
    with world.sim:
        event = mode(world, world.prepare())
    assert summary(event) == summary(events_of_triggers[status, fault])


@pytest.mark.parametrize(("status", "fault"), CASES)
def test_a_wait_in_the_triggerer_ends_as_its_batch_and_its_faults_decide(
    events_of_triggers: dict[tuple[str, str], BatchEvent], status: str, fault: str
) -> None:
    event = events_of_triggers[status, fault]
    if fault in ("404", "401", "403", "no money"):
        assert (event.outcome, event.batches) == ("timed_out", {}), "the deadline comes before it is believed"
    elif status == "running":
        assert event.outcome == "timed_out"
    else:
        assert (event.outcome, [end.status for end in event.batches.values()]) == ("ended", [status])
