"""Gateways whose lists do not page, refuse the size of a page, or do not exist: nothing is paid twice or waited for."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kimi.account.delete import Deletion
from airflow_provider_kimi.account.ended_batches import Account
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.records.mark import Mark
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from airflow_provider_kimi.submission.in_flight import count_active
from airflow_provider_kimi.waiting.alone import InWorker, Polled, poll_all
from tests.conftest import Connect
from tests.support.gateway import HTML, Gateway, gateway
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.tasks import run_task
from tests.support.triggers import created

SLOW = Timing(validating_seconds=600, working_seconds=36_000)


def saying(text: str) -> bytes:
    return json.dumps({"error": {"message": text}}).encode()


AT_MOST = saying("limit must be less than or equal to 50")

#: What a `limit` above 50 is answered with.
REFUSALS = {
    "400": (400, AT_MOST),
    "400 that sounds like a full queue": (400, saying("the maximum of batches a page is 50")),
    "404": (404, AT_MOST),
    "404 in HTML": (404, HTML),
    "413 without a text": (413, b""),
    "422": (422, json.dumps({"detail": [{"loc": ["query", "limit"], "type": "less_than_equal"}]}).encode()),
    "500": (500, AT_MOST),
    "500 in HTML": (500, HTML),
    "501": (501, AT_MOST),
    "200 in HTML": (200, HTML),
}

NO_LIST = {"404": (404, saying("not found")), "405 in HTML": (405, HTML), "501": (501, b"")}


@pytest.fixture
def sim() -> Iterator[KimiSimulator]:
    with KimiSimulator(speed=0, timing=SLOW) as simulator:
        yield simulator


def others(sim: KimiSimulator, connect: Connect, count: int) -> list[str]:
    """Batches of somebody else, made past the gateway."""
    made = created(connect(sim), count, {"team": "another"})
    sim.advance(1)
    return made


def of(way: Gateway, connect: Connect, **extra: object) -> KimiHook:
    """A hook that was made just now."""
    return connect(way, **extra)  # type: ignore[arg-type]


# A refused limit


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_search_sees_every_batch_where_the_size_of_its_pages_is_refused(
    sim: KimiSimulator, connect: Connect, refusal: str
) -> None:
    others(sim, connect, 45)
    with gateway(sim, refused_limit=REFUSALS[refusal]) as way:
        found = find_batches(Calls(of(way, connect), LogRecord(), sim.advance), lambda batch: True)
    assert (len(found.batches), found.gap) == (45, "")
    refused = ["limit=100" in query for query in way.lists]
    assert refused in ([True, False, False, False], [True, True, False, False, False])


@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_event_loop_learns_once_that_the_size_of_a_page_is_refused(
    sim: KimiSimulator, connect: Connect, refusal: str
) -> None:
    """A connection that is read again before each call keeps what was learnt."""

    async def pages(hook: KimiHook) -> list[int]:
        sizes: list[int] = []
        for _ in range(4):
            hook.renew()
            with suppress(KimiApiError):  # a fault on the platform's side, which may pass
                sizes.append(len((await hook.alist_batches()).data))
        await hook.aclose()
        return sizes

    others(sim, connect, 45)
    with gateway(sim, refused_limit=REFUSALS[refusal]) as way:
        assert asyncio.run(pages(of(way, connect))) in ([20] * 4, [20] * 3)
    assert sum("limit=100" in query for query in way.lists) <= 2


def test_a_fault_that_passes_leaves_pages_as_large_as_they_were(sim: KimiSimulator, connect: Connect) -> None:
    others(sim, connect, 45)
    hook = connect(sim)
    for _ in range(3):
        sim.inject("list_batches", status=500)
        with pytest.raises(KimiApiError):
            hook.list_batches()
        assert len(hook.list_batches().data) == 45


def test_a_long_outage_of_the_list_is_not_answered_with_twice_as_many_calls(
    sim: KimiSimulator, connect: Connect
) -> None:
    hook = connect(sim)
    sim.inject("list_batches", status=503, times=None)
    for _ in range(20):
        with pytest.raises(KimiApiError):
            hook.list_batches()
    assert len([call for call in sim.journal if call.name == "list_batches"]) == 24


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_refusal_that_no_size_of_a_page_explains_is_not_tried_again(
    sim: KimiSimulator, connect: Connect, status: int
) -> None:
    hook = connect(sim)
    sim.inject("list_batches", status=status, times=None)
    with pytest.raises(KimiApiError):
        hook.list_batches()
    assert len(sim.journal) == 1


PAGES: dict[str, dict[str, Any]] = {
    "capped at 10": {"size": 10},
    "capped at 20, and has_more is absent": {"size": 20, "has_more": None},
    "capped at 20, and has_more is always true": {"size": 20, "has_more": True},
    **{f"limit refused by {name}": {"refused_limit": refusal} for name, refusal in REFUSALS.items()},
}


@pytest.mark.parametrize("pages", PAGES)
def test_every_user_of_the_list_is_served_whatever_the_pages_are_like(
    sim: KimiSimulator, connect: Connect, pages: str
) -> None:
    """A first create, a retry, the count of what runs, deletions, orphans and polls."""
    mine = others(sim, connect, 45)
    with gateway(sim, **PAGES[pages]) as way:
        (first,) = submit(of(way, connect), order(["a"]), ATTEMPT, LogRecord(), sim.advance).batch_ids
        others(sim, connect, 45)
        again = replace(ATTEMPT, number=2, run_after=sim.now() - 86_400)
        assert submit(of(way, connect), order(["a"]), again, LogRecord(), sim.advance).batch_ids == [first]
        calls = Calls(of(way, connect), LogRecord(), sim.advance)
        assert count_active(calls) == len(sim.batches) == 91
        assert Deletion(calls).older_than(1, lambda *_: None) == []
        assert len(find_batches(calls, lambda batch: True, is_proof=True).batches) == 91
        platform, polled = InWorker(of(way, connect)), Polled()
        while len(polled.seen) < 45 or not all(isinstance(what, Batch) for what in polled.seen.values()):
            polled = asyncio.run(poll_all(platform, mine, polled))
            assert len(way.lists) < 200
        of(way, connect)
        assert run_task(KimiOrphanBatchesOperator(task_id="orphans", dag_ids=["absent"])).value == []


# A list that does not page


@pytest.mark.parametrize("has_more", ["honest", None, True], ids="has_more {}".format)
@pytest.mark.parametrize("size", [20, 100])
def test_a_first_attempt_and_its_retry_make_one_batch_though_the_list_is_always_its_first_page(
    sim: KimiSimulator, connect: Connect, size: int, has_more: Any
) -> None:
    """The account keeps no input of the work, so none was submitted before; a retry that cannot tell sends nothing."""
    others(sim, connect, 130)
    with gateway(sim, has_pages=False, has_more=has_more, size=size) as way:
        (first,) = submit(of(way, connect), order(["a"]), ATTEMPT, LogRecord(), sim.advance).batch_ids
        again = replace(ATTEMPT, number=2, run_after=sim.now() - 86_400)
        assert submit(of(way, connect), order(["a"]), again, LogRecord(), sim.advance).batch_ids == [first]
        others(sim, connect, 130)
        count = len(sim.batches)
        with pytest.raises(KimiBatchError, match=r"repeats itself .*Nothing was sent.*or set reuse='never'"):
            submit(of(way, connect), order(["a"]), again, LogRecord(), sim.advance)
        assert len(sim.batches) == count
        with pytest.raises(KimiBatchError, match="Nothing was deleted: .*repeats itself"):
            Deletion(Calls(of(way, connect), LogRecord(), sim.advance)).older_than(1, lambda *_: None)


def test_a_first_attempt_sends_nothing_where_the_account_keeps_its_input_and_the_list_does_not_page(
    sim: KimiSimulator, connect: Connect
) -> None:
    """A run of the same id was deleted, so its try begins with one again."""
    submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), sim.advance)
    others(sim, connect, 130)
    with gateway(sim, has_pages=False) as way, pytest.raises(KimiBatchError, match="Nothing was sent"):
        submit(of(way, connect), order(["a"]), ATTEMPT, LogRecord(), sim.advance)


def test_work_that_is_to_be_paid_in_any_case_is_sent_though_the_list_does_not_page(
    sim: KimiSimulator, connect: Connect
) -> None:
    """The refusal advises this."""
    others(sim, connect, 130)
    again = replace(ATTEMPT, number=2)
    with gateway(sim, has_pages=False) as way:
        made = submit(of(way, connect), order(["a"], reuse="never"), again, LogRecord(), sim.advance)
    assert len(made.batch_ids) == 1


# No list at all


@pytest.mark.parametrize("answer", NO_LIST)
def test_a_host_without_a_list_is_named_and_nothing_is_paid(sim: KimiSimulator, connect: Connect, answer: str) -> None:
    """Without the list, nobody could find the batch of an attempt that died."""
    says = r"has no list of batches: it answers GET /batches with HTTP \d+\..*Check the Base URL of connection 'kimi_d"
    paused: list[float] = []
    with gateway(sim, no_list=NO_LIST[answer]) as way:
        for wanted in (order(["a"]), order(["a"], reuse="never")):
            with pytest.raises(KimiApiError, match=says) as caught:
                submit(of(way, connect), wanted, ATTEMPT, LogRecord(), paused.append)
            assert not caught.value.retryable
        with pytest.raises(KimiApiError, match=says):
            Deletion(Calls(of(way, connect), LogRecord(), paused.append)).older_than(1, lambda *_: None)
        with pytest.raises(KimiApiError, match=says):
            count_active(Calls(of(way, connect), LogRecord(), paused.append))
    assert (len(sim.batches), paused) == (0, [])


@pytest.mark.parametrize("answer", NO_LIST)
def test_batches_are_read_by_their_ids_where_there_is_no_list(
    sim: KimiSimulator, connect: Connect, answer: str
) -> None:
    mine = others(sim, connect, 60)
    with gateway(sim, no_list=NO_LIST[answer]) as way:
        polled = asyncio.run(poll_all(InWorker(of(way, connect)), mine, Polled()))
        assert all(isinstance(polled.seen[batch_id], Batch) for batch_id in mine)
    assert polled.faults == 0
    assert len(way.lists) <= 6, "it is asked for again now and then only"


@pytest.mark.parametrize("answer", NO_LIST)
def test_a_host_without_a_list_of_files_is_named(sim: KimiSimulator, connect: Connect, answer: str) -> None:
    with gateway(sim, no_files=NO_LIST[answer]) as way:
        with pytest.raises(KimiApiError, match="has no list of files: it answers GET /files with HTTP"):
            of(way, connect).list_files()
        assert len(submit(of(way, connect), order(["a"]), ATTEMPT, LogRecord(), sim.advance).batch_ids) == 1


def test_a_place_in_the_list_that_is_not_known_is_not_a_host_without_a_list(
    sim: KimiSimulator, connect: Connect
) -> None:
    with gateway(sim, no_list=(404, saying("batch_gone not found"))) as way, pytest.raises(KimiApiError) as caught:
        of(way, connect).list_batches(after="batch_gone")
    assert "batch_gone" in str(caught.value)


# The asset watcher


async def polled_once(way: Gateway, connect: Connect, log: LogRecord, most_pauses: int = 9) -> int | None:
    """How many batches one poll of the asset watcher sees running; None if it does not come to an end."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > most_pauses:
            raise InterruptedError

    hook = of(way, connect)
    try:
        async for _, mark in Account(hook, 60.0, log, clock=way.sim.now, sleep=sleep).ended({}, Mark(0.0)):
            return len(mark.running)
    except InterruptedError:
        pass
    finally:
        await hook.aclose()
    return None


@pytest.mark.parametrize("pages", PAGES)
def test_the_asset_watcher_sees_every_batch_whatever_the_pages_are_like(
    sim: KimiSimulator, connect: Connect, pages: str
) -> None:
    others(sim, connect, 45)
    with gateway(sim, **PAGES[pages]) as way:
        assert asyncio.run(polled_once(way, connect, LogRecord())) == 45


def test_the_asset_watcher_says_once_that_a_list_does_not_page(sim: KimiSimulator, connect: Connect) -> None:
    async def polled_twice(way: Gateway, log: LogRecord) -> None:
        hook = of(way, connect)
        polls = Account(hook, 60.0, log, clock=sim.now, sleep=lambda _: asyncio.sleep(0)).ended({}, Mark(0.0))
        for _ in range(2):
            assert len((await anext(polls))[1].running) == 100
        await polls.aclose()  # type: ignore[attr-defined]
        await hook.aclose()

    others(sim, connect, 130)
    log = LogRecord()
    with gateway(sim, has_pages=False) as way:
        asyncio.run(polled_twice(way, log))
    assert [line for line in log.warnings if "Batches that the list does not show are not reported" in line]
    assert len(log.warnings) == 1


@pytest.mark.parametrize("answer", NO_LIST)
def test_the_asset_watcher_says_that_there_is_no_list_and_asks_ever_more_seldom(
    sim: KimiSimulator, connect: Connect, answer: str
) -> None:
    log = LogRecord()
    with gateway(sim, no_list=NO_LIST[answer]) as way:
        assert asyncio.run(polled_once(way, connect, log)) is None
    assert "has no list of batches" in log.warnings[0]
    assert len(log.warnings) == 4, "the first, second, fourth and eighth of ten"
