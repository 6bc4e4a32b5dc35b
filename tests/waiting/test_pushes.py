"""What waits show is pushed beside the event loop: one at a time, seldom where that is slow, and never for nothing."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from airflow_provider_kimi.waiting.pushes import (
    LONGEST_PAUSE_SECONDS,
    PAUSE_TIMES,
    TOO_SLOW,
    Pushes,
    pause_after,
    pushes_here,
)


class Backend:
    """Takes its time for each value, and notes when."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[float] = []
        self.values: list[object] = []
        self.now = self.most = 0
        self.goes_on = threading.Event()

    def store(self, value: object) -> None:
        self.begun.append(time.monotonic())
        self.now += 1
        self.most = max(self.most, self.now)
        self.goes_on.wait(self.seconds)
        self.now -= 1
        self.values.append(value)


async def until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_the_pause_after_a_push_is_several_times_as_long_and_bounded() -> None:
    assert pause_after(0.02) == pytest.approx(0.02 * PAUSE_TIMES)
    assert pause_after(5) == 5 * PAUSE_TIMES
    assert pause_after(1e6) == LONGEST_PAUSE_SECONDS


async def test_pushes_of_many_waits_run_one_at_a_time_with_pauses_between() -> None:
    backend = Backend(0.1)
    for wait in range(3):
        pushes_here().put(wait, partial(backend.store, wait))
    await until(lambda: len(backend.values) == 3)
    assert backend.values == [0, 1, 2]
    assert backend.most == 1
    gaps = [after - before for before, after in zip(backend.begun, backend.begun[1:], strict=False)]
    assert min(gaps) >= 0.1 * (1 + PAUSE_TIMES)


async def test_only_the_newest_value_of_a_wait_is_pushed() -> None:
    backend = Backend(0.1)
    pushes_here().put("a", partial(backend.store, "a1"))
    await until(lambda: bool(backend.begun))
    for number in range(2, 9):
        pushes_here().put("b", partial(backend.store, f"b{number}"))
        pushes_here().put("a", partial(backend.store, f"a{number}"))
    await until(lambda: len(backend.values) == 3)
    assert backend.values == ["a1", "b8", "a8"]


async def test_a_wait_that_is_over_shows_nothing_more() -> None:
    backend = Backend(0.1)
    pushes_here().put("a", partial(backend.store, "a"))
    await until(lambda: bool(backend.begun))
    pushes_here().put("b", partial(backend.store, "b"))
    pushes_here().put("c", partial(backend.store, "c"))
    pushes_here().drop("b")
    pushes_here().drop("a")
    await until(lambda: "c" in backend.values)
    assert backend.values == ["a", "c"]


def fails() -> None:
    raise ValueError("the bucket is gone")


def leaves() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("push", [fails, leaves])
async def test_a_push_that_fails_is_no_matter(push: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend()
    pushes_here().put("a", push)
    pushes_here().put("b", partial(backend.store, "b"))
    with caplog.at_level(logging.DEBUG, "airflow_provider_kimi.waiting.pushes"):
        await until(lambda: backend.values == ["b"])
    assert [record.levelname for record in caplog.records if "not pushed" in record.message] == ["DEBUG"]


def test_an_event_loop_ends_at_once_while_a_push_hangs_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(60)

    async def triggerer() -> None:
        pushes_here().put("a", partial(backend.store, "a"))
        pushes_here().put("b", partial(backend.store, "b"))
        await until(lambda: bool(backend.begun))

    begun = time.monotonic()
    asyncio.run(triggerer())
    assert time.monotonic() - begun < 2
    backend.goes_on.set()
    deadline = time.monotonic() + 5
    while any(thread.name == "kimi-progress" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    gc.collect()
    assert (backend.values, backend.most) == (["a"], 1)
    assert not caplog.records


async def test_a_push_that_hangs_is_logged_once_and_holds_one_thread(caplog: pytest.LogCaptureFixture) -> None:
    backend, pushes = Backend(60), Pushes(slow_seconds=0.01)
    pushes.put("a", partial(backend.store, "a"))
    await until(lambda: bool(backend.begun))
    for number in range(20):
        pushes.put(number, partial(backend.store, number))
    await asyncio.sleep(0.1)
    assert sum(thread.name == "kimi-progress" for thread in threading.enumerate()) == 1
    assert [record.message for record in caplog.records] == [TOO_SLOW % 0.01]
    backend.goes_on.set()
    await until(lambda: len(backend.values) == 21)
