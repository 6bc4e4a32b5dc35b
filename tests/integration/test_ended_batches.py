"""Batches that somebody else created are reported when they end."""

import asyncio
from contextlib import aclosing
from io import BytesIO
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from airflow_provider_kimi.account.ended_batches import Account
from airflow_provider_kimi.api.limits import PAGE_SIZE
from airflow_provider_kimi.api.models import BatchPage
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.mark import Mark
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.triggers.ended_batches import KimiBatchEndedTrigger
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.time_lapse import TimeLapse, names
from tests.support.triggers import created

TEAM = {"team": "reviews"}


def tagged(hook: KimiHook, metadata: dict[str, str] | None = None) -> str:
    """Create a batch as another system would."""
    content = BytesIO(b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n')
    file_id = hook.upload_file(content, "input.jsonl").id
    return hook.create_batch(file_id, metadata=metadata or TEAM).id


class Polls:
    """Polls the platform on its own clock, and notes what is reported."""

    def __init__(
        self, sim: KimiSimulator, hook: KimiHook, mark: Mark | None = None, metadata: dict[str, str] = TEAM
    ) -> None:
        self.sim, self.hook, self.log, self.metadata = sim, hook, LogRecord(), metadata
        self.mark = mark or Mark(sim.now())
        self.reported: list[list[str]] = []

    async def poll(self, times: int, *, meanwhile: Any = None) -> None:
        async def sleep(seconds: float) -> None:
            if meanwhile is not None:
                await asyncio.to_thread(meanwhile)
            self.sim.advance(seconds)

        account = Account(self.hook, 60, self.log, clock=self.sim.now, sleep=sleep)
        async with aclosing(account.ended(self.metadata, self.mark)) as found:  # type: ignore[type-var]
            async for news, self.mark in found:
                self.reported.append([batch.id for batch in news])
                if len(self.reported) >= times:
                    break
        await self.hook.aclose()


async def test_each_ended_batch_is_reported_once_and_those_with_other_metadata_are_not(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    first = await asyncio.to_thread(tagged, hook)
    await asyncio.to_thread(tagged, hook, {"team": "another"})
    polls = Polls(sim, hook)
    await polls.poll(4)
    assert [batch_id for reported in polls.reported for batch_id in reported] == [first]


async def test_batches_that_the_platform_does_not_know_any_more_are_forgotten_by_one_poll(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    polls = Polls(sim, hook, Mark(sim.now(), frozenset(f"batch_gone_{number}" for number in range(40))))
    await polls.poll(1)
    assert polls.mark.running == frozenset()
    assert len(sim.journal) <= 40 * 4, "for each, two polls of it and two pages of the list behind it"


async def test_batches_that_end_while_no_triggerer_runs_are_reported_by_the_next_one(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    first = await asyncio.to_thread(tagged, hook)
    before = Polls(sim, hook)
    await before.poll(1)
    sim.advance(3600)
    second = await asyncio.to_thread(tagged, hook)
    sim.advance(3600)
    after = Polls(sim, hook, Mark.from_dict(before.mark.to_dict()))
    await after.poll(2)
    assert sorted(after.reported[0]) == sorted([first, second])
    assert after.reported[1] == []


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
async def test_a_batch_far_from_the_top_of_the_list_is_reported_when_it_ends(connect: Connect, order: Any) -> None:
    behaviour = Behaviour(max_list_limit=5, list_order=order)
    with KimiSimulator(speed=0, timing=Timing(working_seconds=3600), behaviour=behaviour) as sim:
        hook = connect(sim)
        first = await asyncio.to_thread(tagged, hook)
        polls = Polls(sim, hook)
        await polls.poll(1)
        await polls.poll(90, meanwhile=lambda: created(hook, 1))
        assert [batch_id for reported in polls.reported for batch_id in reported] == [first]


async def test_a_long_list_is_read_to_its_end_though_the_platform_asks_to_slow_down(connect: Connect) -> None:
    behaviour = Behaviour(max_list_limit=5, calls_per_minute=3)
    with KimiSimulator(speed=0, timing=Timing(working_seconds=10**5), behaviour=behaviour) as sim:
        hook, ids = connect(sim), set()
        for _ in range(30):
            ids.update(await asyncio.to_thread(created, hook, 1))
            sim.advance(60)
        polls = Polls(sim, hook, metadata={})
        await polls.poll(1)
        assert polls.mark.running == ids


async def test_a_batch_that_is_gone_is_not_polled_for_ever(sim: KimiSimulator, hook: KimiHook) -> None:
    polls = Polls(sim, hook, Mark(sim.now(), frozenset({"batch_gone"})))
    await polls.poll(1)
    assert polls.mark.running == frozenset()


async def test_a_batch_that_cannot_be_read_holds_no_news_back(connect: Connect) -> None:
    behaviour = Behaviour(max_list_limit=5)
    with KimiSimulator(speed=0, timing=Timing(working_seconds=3600), behaviour=behaviour) as sim:
        hook = connect(sim)
        (odd,) = await asyncio.to_thread(created, hook, 1, TEAM)
        sim.advance(60)
        await asyncio.to_thread(created, hook, 10)
        (first,) = await asyncio.to_thread(created, hook, 1, TEAM)
        polls = Polls(sim, hook)
        await polls.poll(1)
        sim.inject("get_batch", status=403, times=10**6)
        await polls.poll(70)
        assert first in [batch_id for reported in polls.reported for batch_id in reported]
        assert polls.mark.running == {odd}
        assert len(polls.log.warnings) == 1


async def test_faults_of_the_list_are_logged_seldom_and_lose_no_news(sim: KimiSimulator, hook: KimiHook) -> None:
    first = await asyncio.to_thread(tagged, hook)
    polls = Polls(sim, hook)
    await polls.poll(1)
    sim.inject("list_batches", status=503, times=20)
    await polls.poll(3)
    assert [batch_id for reported in polls.reported for batch_id in reported] == [first]
    assert len(polls.log.warnings) == 5


class Behind(TimeLapse):
    """A platform before which a proxy asks for a login, once the first page is read."""

    has_been_out = False

    async def alist_batches(self, *, after: str | None = None, limit: int = PAGE_SIZE) -> BatchPage:
        if after is not None and not self.has_been_out:
            self.has_been_out = True
            raise KimiNoAnswerError("407", kind="proxy", retryable=False, outcome_unknown=False)
        return await super().alist_batches(after=after, limit=2)


async def test_a_list_does_not_end_where_the_network_does() -> None:
    platform = Behind(newest_first=names(4))

    async def sleep(seconds: float) -> None:
        """Return at once."""

    account = Account(platform, 60, log := LogRecord(), clock=lambda: platform.now, sleep=sleep)
    async with aclosing(account.pages()) as pages:
        assert [batch.id async for page in pages for batch in page] == names(4)
    assert len(log.warnings) == 1


class Store:
    """The state of an asset, as Airflow 3.3 gives it to a trigger."""

    def __init__(self) -> None:
        self.kept: Any = None
        self.was_written = asyncio.Event()

    async def aget(self, key: str) -> Any:
        return self.kept

    async def aset(self, key: str, value: Any) -> None:
        self.kept = value
        self.was_written.set()


async def test_the_asset_watcher_notes_its_first_poll_so_that_a_restart_goes_on_from_there(connect: Connect) -> None:
    def events_of(store: Store) -> Any:
        trigger: Any = KimiBatchEndedTrigger(metadata=TEAM, poll_interval=0.2)
        trigger.asset_state_store = store
        return aclosing(trigger.run())

    with KimiSimulator(timing=Timing(0, 1, 0)) as sim:
        hook, store = connect(sim), Store()
        async with events_of(store) as events:
            run = asyncio.ensure_future(anext(events))
            await asyncio.wait_for(store.was_written.wait(), 20)
            run.cancel()
            await asyncio.wait({run})
        (batch_id,) = await asyncio.to_thread(created, hook, 1, TEAM)
        await asyncio.sleep(3)
        assert sim.status(batch_id) == "completed", "or it would end while the next one polls"
        async with events_of(store) as events:
            event = await asyncio.wait_for(anext(events), 20)
    assert [batch["batch_id"] for batch in event.payload["batches"]] == [batch_id]


def test_the_asset_watcher_fires_and_goes_on_and_never_blocks_the_loop(connect: Connect) -> None:
    async def run() -> list[Any]:
        with blockbuster_ctx():
            async with aclosing(KimiBatchEndedTrigger(metadata=TEAM, poll_interval=0.2).run()) as events:  # type: ignore[type-var]
                first = await anext(events)
                await asyncio.to_thread(tagged, hook)
                sim.advance(60)
                return [first.payload, (await anext(events)).payload]

    with KimiSimulator(speed=20) as sim:
        hook = connect(sim)
        batch_id = tagged(hook)
        one, two = asyncio.run(asyncio.wait_for(run(), 30))
    assert [batch["batch_id"] for batch in one["batches"]] == [batch_id]
    assert one["batches"][0]["metadata"] == TEAM
    assert one["batches"][0]["status"] in ("completed", "failed")
    assert two["batches"][0]["batch_id"] != batch_id


@pytest.mark.parametrize("metadata", [None, TEAM])
def test_the_asset_watcher_survives_serialization(metadata: dict[str, str] | None) -> None:
    path, arguments = KimiBatchEndedTrigger("kimi_other", metadata, 30).serialize()
    assert path == "airflow_provider_kimi.triggers.ended_batches.KimiBatchEndedTrigger"
    assert KimiBatchEndedTrigger(**arguments).serialize() == (path, arguments)
