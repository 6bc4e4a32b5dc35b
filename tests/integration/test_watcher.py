"""Triggers of one connection share their polls: few requests, no wait held up or lost, the loop never blocked."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.poll import Sweep
from airflow_provider_kimi.waiting.sweep import Memory
from airflow_provider_kimi.waiting.wait import until_finished
from airflow_provider_kimi.waiting.watcher import Subscription
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.triggers import created, fire, fired
from tests.support.waiting import waited

ENDED = "ended"


def polls(sim: KimiSimulator) -> Counter[str]:
    """Requests of waits, by the method of the hook."""
    return Counter(call.name for call in sim.journal if call.name in ("get_batch", "list_batches"))


async def polled(sim: KimiSimulator, times: int) -> None:
    """Wait until batches have been read so often."""
    while polls(sim)["get_batch"] < times:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def together(*waits: Coroutine[Any, Any, BatchEvent]) -> list[BatchEvent]:
    """Run waits in one event loop until each has ended."""

    async def run() -> list[BatchEvent]:
        return await asyncio.gather(*waits)

    return asyncio.run(run())


class TestManyWaits:
    def test_500_triggers_that_start_together_send_a_request_for_100_of_them(self, connect: Connect) -> None:
        """Their connection lookups do not cross, and none of them blocks the loop."""
        with KimiSimulator() as sim:
            ids = created(connect(sim), 500)
            sim.advance(60)
            events = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=5) for batch_id in ids])
            assert polls(sim).total() <= 3 * (5 + 2), "a sweep or two more, where the machine is slow"
        assert [list(event.batches) for event in events] == [[batch_id] for batch_id in ids]
        assert {event.outcome for event in events} == {ENDED}

    def test_no_trigger_is_lost_whatever_the_list_of_batches_is_like(self, monkeypatch: pytest.MonkeyPatch) -> None:
        behaviours = {
            "without them": Behaviour(list_lag_seconds=1e9),
            "oldest first": Behaviour(list_order="oldest_first"),
            "small pages": Behaviour(max_list_limit=3),
            "both": Behaviour(max_list_limit=3, list_order="oldest_first", unknown_after="refused"),
            "no counts": Behaviour(null_request_counts=True),
            "refused": Behaviour(),
        }
        triggers: dict[str, list[KimiBatchTrigger]] = {}
        with ExitStack() as stack:
            for number, (name, behaviour) in enumerate(behaviours.items()):
                sim = stack.enter_context(KimiSimulator(behaviour=behaviour))
                conn_id = f"kimi_{number}"
                fields = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
                monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
                ids = created(KimiHook(conn_id), 8)
                sim.advance(60)
                if name == "refused":  # a gateway that passes on single batches only
                    sim.inject("list_batches", status=404, times=None)
                triggers[name] = [
                    KimiBatchTrigger(batch_ids=[batch_id], kimi_conn_id=conn_id, poll_interval=0.1) for batch_id in ids
                ]
            events = fired([trigger for group in triggers.values() for trigger in group])
        assert Counter(event.outcome for event in events) == {ENDED: 48}

    def test_one_trigger_watches_all_shards_of_its_task(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 150)
            sim.advance(60)
            (event,) = fired([KimiBatchTrigger(batch_ids=ids, poll_interval=1)])
            assert polls(sim).total() <= 3
        assert list(event.batches) == ids

    def test_a_trigger_that_starts_later_learns_what_the_polls_of_others_have_shown_before(
        self, connect: Connect
    ) -> None:
        """Its batch has ended, and is on every page until the others leave, before its own first poll."""
        with KimiSimulator(timing=Timing(1, 8, 1)) as sim:
            ids = created(connect(sim), 6)
            sim.batches[ids[0]].created_at -= 100
            early = [KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.5) for batch_id in ids[1:]]

            async def later() -> BatchEvent:
                await asyncio.sleep(7)
                return await asyncio.wait_for(fire(KimiBatchTrigger(batch_ids=[ids[0]], poll_interval=0.5)), 15)

            late, *_ = together(later(), *map(fire, early))
        assert late.outcome == ENDED

    def test_two_tasks_may_wait_for_the_same_batch(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            (batch_id,) = created(connect(sim), 1)
            sim.advance(60)
            first, second = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=1) for _ in range(2)])
            assert polls(sim).total() == 1
        assert first == second

    def test_a_fault_of_one_poll_does_not_hide_an_end_that_is_known(self, connect: Connect) -> None:
        """Another wait polls a batch again that has ended, and gets no answer."""
        with KimiSimulator(timing=Timing(working_seconds=14)) as sim:
            ended, running = created(connect(sim), 2)
            sim.batches[ended].created_at -= 100

            async def later() -> BatchEvent:
                await asyncio.sleep(6)
                sim.inject("get_batch", status=502, times=3)
                return await asyncio.wait_for(fire(KimiBatchTrigger(batch_ids=[ended], poll_interval=0.5)), 20)

            events = together(later(), fire(KimiBatchTrigger(batch_ids=[ended, running], poll_interval=2)))
        assert {event.outcome for event in events} == {ENDED}

    def test_a_fault_of_one_batch_ends_no_other_wait(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            good = created(connect(sim), 2)
            sim.advance(60)
            events = fired([KimiBatchTrigger(batch_ids=[name], poll_interval=0.5) for name in ("not an id", *good)])
        assert [event.outcome for event in events] == ["failed", ENDED, ENDED]

    def test_a_batch_that_is_unknown_delays_no_other_wait(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 4)
            sim.advance(60)
            deadline = time.time() + 12
            events = fired(
                [
                    KimiBatchTrigger(batch_ids=[name], poll_interval=0.5, deadline=deadline)
                    for name in (*ids, "batch_gone")
                ]
            )
        assert [event.outcome for event in events] == [*[ENDED] * 4, "timed_out"], "it is not believed so soon"
        assert "batch_gone" in events[-1].message


async def test_a_wait_that_leaves_in_the_middle_of_a_sweep_is_not_missed_for_ever(connect: Connect) -> None:
    with KimiSimulator() as sim:
        hook = connect(sim)
        ids = [*await asyncio.to_thread(created, hook, 5), "batch_gone"]
        ours = dict.fromkeys(ids)
        sim.inject("get_batch", hang_seconds=0.5)

        async def poll() -> Memory:
            sweep = Sweep(hook, ids, ours.keys(), Memory())
            async for _ in sweep.answers():
                pass
            return sweep.result.memory

        polling = asyncio.create_task(poll())
        await polled(sim, 1)
        del ours["batch_gone"]
        memory = await polling
        await hook.aclose()
    assert memory.begins_at_top(list(ours))
    assert not memory.doubted


class TestDeadlines:
    """What a wait decides by the time it decides by a poll of all its batches, however little time is left for it."""

    def test_a_deadline_that_passed_while_no_triggerer_ran_is_decided_by_a_poll(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            (batch_id,) = created(connect(sim), 1)
            sim.advance(60)
            (event,) = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=5, deadline=time.time() - 600)])
        assert event.outcome == ENDED

    def test_a_deadline_is_decided_when_every_batch_was_polled(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 2)

            async def end_them() -> None:
                await asyncio.sleep(0.5)
                sim.advance(60)

            trigger = KimiBatchTrigger(batch_ids=ids, poll_interval=3600, deadline=time.time() + 2)
            (event,) = fired([trigger], end_them)
        assert event.outcome == ENDED

    def test_a_deadline_is_decided_by_another_poll_where_one_fails(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            (batch_id,) = created(connect(sim), 1)
            sim.advance(60)
            sim.inject("get_batch", status=502)
            (event,) = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=1, deadline=time.time() + 1)])
        assert event.outcome == ENDED

    def test_a_deadline_cancels_nothing_that_assembles_its_results_by_then(self, connect: Connect) -> None:
        """A cancel was seen to lose rows then."""
        with KimiSimulator(timing=Timing(working_seconds=100, finalizing_seconds=500)) as sim:
            ids = created(connect(sim), 2)

            async def finalize() -> None:
                await polled(sim, 2)
                sim.advance(200)
                await polled(sim, 4)
                sim.advance(500)

            async def wait() -> BatchEvent:
                watch = Watch(tuple(ids), 5, time.time() + 8, "cancel")
                subscription = Subscription(watch, log)
                event = await until_finished(subscription, watch, log)
                await subscription.leave()
                return event

            async def run() -> BatchEvent:
                event, _ = await asyncio.gather(wait(), finalize())
                return event

            log = LogRecord()
            event = asyncio.run(run())
            assert "cancel_batch" not in [call.name for call in sim.journal]
        assert event.outcome == ENDED

    async def test_a_deadline_is_kept_though_no_poll_finishes_in_time(self, connect: Connect) -> None:
        """The platform asked for a quarter of an hour just before; what is known by then is too old to decide by."""
        with KimiSimulator(timing=Timing(working_seconds=1000)) as sim:
            hook = connect(sim)
            ids = await asyncio.to_thread(created, hook, 2)
            sim.inject("get_batch", status=429, retry_after=900, skip=1)
            watch = Watch(tuple(ids), 5, time.time() + 7)
            subscription = Subscription(watch, log := LogRecord(), late_seconds=1)
            begun = time.monotonic()
            event = await until_finished(subscription, watch, log)
            await subscription.leave()
        assert event.outcome == "timed_out"
        assert all(f"{batch_id} could not be read" in event.message for batch_id in ids)
        assert 7 < time.monotonic() - begun < 60


def test_shared_polls_are_logged_in_the_log_of_no_task(connect: Connect) -> None:
    """Airflow writes what a task's context logs into the log of that task."""
    logs_of = ContextVar("logs_of", default="no task")
    found: set[str] = set()

    class Witness(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.add(logs_of.get())

    sdk, witness = logging.getLogger("openai"), Witness()
    level = sdk.level
    sdk.addHandler(witness)
    token = logs_of.set("the first task")
    try:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 3)
            sdk.setLevel(logging.DEBUG)
            sim.advance(60)
            found.clear()
            fired([KimiBatchTrigger(batch_ids=ids, poll_interval=5)])
    finally:
        logs_of.reset(token)
        sdk.removeHandler(witness)
        sdk.setLevel(level)
    assert found == {"no task"}


class TestFaultsOfTheConnection:
    def test_a_key_that_was_changed_is_read_before_the_old_one_is_given_up(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            (batch_id,) = created(connect(sim), 1)
            sim.advance(60)
            connect(sim, api_key="sk-revoked0123456789")

            async def change_key() -> None:
                await asyncio.sleep(6)
                assert [call.authorized for call in sim.journal][-1] is False
                connect(sim)

            (event,) = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=4)], change_key)
        assert event.outcome == ENDED

    def test_a_key_that_is_refused_for_a_while_ends_no_wait(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 5)
            sim.advance(60)
            connect(sim, api_key="sk-revoked0123456789")

            async def put_it_right() -> None:
                while sum(not call.authorized for call in sim.journal) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                connect(sim)

            events = fired([KimiBatchTrigger(batch_ids=[name], poll_interval=0.5) for name in ids], put_it_right)
        assert {event.outcome for event in events} == {ENDED}

    def test_a_connection_that_is_made_while_tasks_wait_ends_none_of_them(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 3)
            sim.advance(60)

            async def make_it() -> None:
                await asyncio.sleep(7)
                fields = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
                monkeypatch.setenv("AIRFLOW_CONN_KIMI_NOWHERE", json.dumps(fields))

            triggers = [
                KimiBatchTrigger(batch_ids=[name], kimi_conn_id="kimi_nowhere", poll_interval=0.5) for name in ids
            ]
            events = fired(triggers, make_it)
        assert {event.outcome for event in events} == {ENDED}

    def test_faults_of_every_kind_only_delay_shared_polls(self, connect: Connect) -> None:
        """A server that fails or never answers neither ends the wait nor blocks the loop."""
        with KimiSimulator() as sim:
            ids = created(connect(sim, timeout=0.3), 5)
            sim.advance(60)
            for call in ("list_batches", "get_batch"):
                sim.inject(call, status=502)
                sim.inject(call, hang_seconds=1)
                sim.inject(call, drop=True)
                sim.inject(call, status=429, error_type="rate_limit_reached_error", retry_after=1)
            events = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.1) for batch_id in ids])
        assert {event.outcome for event in events} == {ENDED}


class TestWhenTheWatcherFails:
    def test_another_watcher_takes_over_from_one_that_fails(self, connect: Connect) -> None:
        with KimiSimulator() as sim:
            ids = created(connect(sim), 3)
            sim.advance(60)

            async def end_it() -> None:
                await asyncio.sleep(1)
                found = [task for task in asyncio.all_tasks() if task.get_name().startswith("kimi-watcher")]
                assert len(found) == 1
                for task in found:
                    task.cancel()

            events = fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.1) for batch_id in ids], end_it)
        assert {event.outcome for event in events} == {ENDED}


class TestTheRequestBudget:
    def test_waits_with_their_own_pause_keep_to_the_request_budget_too(self, connect: Connect) -> None:
        with KimiSimulator(timing=Timing(working_seconds=4)) as sim:
            hook = connect(sim, requests_per_minute=60)
            (batch_id,) = created(hook, 1)
            fired([KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.1)])
            times = [call.at for call in sim.journal if call.name == "get_batch"]
        assert len(times) > 2
        assert (times[-1] - times[0]) / (len(times) - 1) > 0.9

    async def test_the_default_pace_fits_the_lowest_tier(self, connect: Connect) -> None:
        """Three requests a minute, for a day; nothing is refused, and a page serves all batches."""
        timing = Timing(working_seconds=20 * 3600)
        with KimiSimulator(speed=0, timing=timing, behaviour=Behaviour(calls_per_minute=3)) as sim:
            hook = connect(sim)
            ids = []
            for _ in range(4):
                ids += await asyncio.to_thread(created, hook, 1)
                sim.advance(60)
            event = await waited(hook, sim, Watch(tuple(ids)), log := LogRecord())
            assert {call.status for call in sim.journal} == {200}
            assert polls(sim)["get_batch"] <= 2 + 3 * 2  # near the end, one batch after the other
        assert event.outcome == ENDED
        assert len(log.infos) + len(log.warnings) < 200


async def test_a_day_of_waiting_takes_at_most_a_poll_a_minute(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=Timing(working_seconds=20 * 3600)) as sim:
        hook = connect(sim, requests_per_minute=1000)
        (batch_id,) = await asyncio.to_thread(created, hook, 1)
        begun = sim.now()
        await waited(hook, sim, Watch((batch_id,)))
        hours = (sim.now() - begun) / 3600
        assert hours == pytest.approx(20, abs=0.1)
        assert polls(sim).total() < 20 * 60 + 100


def test_the_arguments_of_a_trigger_are_json_without_secrets() -> None:
    path, arguments = KimiBatchTrigger(batch_ids=["batch_1"]).serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    assert path == "airflow_provider_kimi.triggers.batch.KimiBatchTrigger"
