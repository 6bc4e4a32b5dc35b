"""The cancels of a killed task: all of the time is used, and the log says what is left and what is paid."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.models import RequestCounts as Counts
from airflow_provider_kimi.calls.cancel import acancel_batch
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.kills.cancels import (
    KILL_PAUSES_SECONDS,
    KILL_SECONDS,
    cancel_while_killed,
    pause_before_next,
)
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.samples import make_batch
from tests.support.triggers import created


@dataclass
class Cancel:
    """Raises the faults of a batch in turn, then cancels it. It keeps the ids and the pauses."""

    faults: dict[str, list[KimiError]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)

    async def __call__(self, batch_id: str) -> Batch:
        self.asked.append(batch_id)
        if faults := self.faults.get(batch_id):
            raise faults.pop(0)
        return make_batch("cancelling", batch_id)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    def now(self) -> float:
        return sum(self.paused)


def passing() -> KimiError:
    return KimiNoAnswerError("no answer")


async def test_the_cancels_of_a_killed_task_are_each_sent_once_where_no_fault_occurs() -> None:
    cancel, log = Cancel(), LogRecord()
    await cancel_while_killed(cancel, ["a", "b"], log, "marked failed", cancel.pause, cancel.now)
    assert (sorted(cancel.asked), cancel.paused) == (["a", "b"], [])
    assert log.infos[0] == "Cancelling, since marked failed: a, b."
    assert sorted(log.infos[1:3]) == ["a is cancelling (marked failed).", "b is cancelling (marked failed)."]
    assert log.warnings == []


async def test_the_cancels_of_a_killed_task_are_repeated_only_for_batches_that_met_a_passing_fault() -> None:
    permanent = KimiApiError("gone", status_code=404)
    cancel, log = Cancel({"a": [passing(), passing()], "b": [permanent]}), LogRecord()
    await cancel_while_killed(cancel, ["a", "b", "c"], log, "marked failed", cancel.pause, cancel.now)
    assert {batch_id: cancel.asked.count(batch_id) for batch_id in "abc"} == {"a": 3, "b": 1, "c": 1}
    assert cancel.paused == [*KILL_PAUSES_SECONDS[:2]]
    assert log.warnings.count("Batch a was not cancelled (marked failed): no answer") == 2
    assert log.warnings.count("Batch b was not cancelled (marked failed): gone") == 1


async def test_the_cancels_of_a_killed_task_are_repeated_for_as_long_as_there_is_time() -> None:
    cancel, log = Cancel({"a": [passing() for _ in range(99)]}), LogRecord()
    await cancel_while_killed(cancel, ["a"], log, "marked failed", cancel.pause, cancel.now)
    assert cancel.paused[:4] == [*KILL_PAUSES_SECONDS, KILL_PAUSES_SECONDS[-1]]
    assert KILL_SECONDS - KILL_PAUSES_SECONDS[-1] <= sum(cancel.paused) < KILL_SECONDS
    assert len(cancel.asked) == len(cancel.paused) + 1


async def test_the_cancels_of_a_killed_task_end_at_once_where_every_fault_is_permanent() -> None:
    cancel = Cancel({"a": [KimiApiError("gone", status_code=404)]})
    await cancel_while_killed(cancel, ["a"], LogRecord(), "marked failed", cancel.pause, cancel.now)
    assert (cancel.asked, cancel.paused) == (["a"], [])


async def test_the_cancels_of_a_killed_task_are_sent_side_by_side() -> None:
    all_sent, sent = asyncio.Event(), set()

    async def cancel(batch_id: str) -> Batch:
        sent.add(batch_id)
        if len(sent) == 3:
            all_sent.set()
        await all_sent.wait()
        return make_batch("cancelling", batch_id)

    async with asyncio.timeout(5):
        await cancel_while_killed(cancel, ["a", "b", "c"], LogRecord(), "marked failed")


# Few requests a minute

#: Batches that run as long as any test.
SLOW = Timing(1, 1_000_000, 1)


def too_many(retry_after: float | None = None) -> KimiError:
    return KimiApiError("slow down", status_code=429, retryable=True, retry_after_seconds=retry_after)


@pytest.mark.parametrize(
    ("fault", "turn", "pause"),
    [
        pytest.param(passing(), 0, 2.0, id="no answer"),
        pytest.param(passing(), 9, 8.0, id="no answer, long after"),
        pytest.param(KimiApiError("x", status_code=503, retry_after_seconds=30.0), 0, 30.0, id="as long as it asks"),
        pytest.param(too_many(), 0, 20.0, id="a slot of the lowest tier"),
        pytest.param(KimiApiError("x", status_code=429), 0, 2.0, id="tokens of the day, which a pause does not bring"),
        pytest.param(too_many(1.0), 0, 20.0, id="what it asks is too short"),
        pytest.param(too_many(41.0), 0, 41.0, id="what it asks is longer"),
    ],
)
def test_the_pause_before_the_next_cancels_fits_what_was_answered(fault: KimiError, turn: int, pause: float) -> None:
    assert pause_before_next([passing(), fault], turn) == pause


@dataclass
class LittleTime:
    """Three requests a minute, and a clock that only pauses move."""

    sim: KimiSimulator
    paused: float = 0.0

    async def pause(self, seconds: float) -> None:
        self.paused += seconds
        self.sim.advance(seconds)


@pytest.mark.parametrize("count", [1, 3, 5, 20])
@pytest.mark.parametrize("used", [0, 3], ids=["no request was made", "the minute is used up"])
async def test_a_kill_at_three_requests_a_minute_cancels_what_the_minute_allows_and_names_the_rest(
    connect: Connect, count: int, used: int
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(calls_per_minute=3), timing=SLOW) as sim:
        hook, log, time_left = connect(sim), LogRecord(), LittleTime(sim)
        ids = []
        for _ in range(count):
            sim.advance(61)
            ids += created(hook, 1)
        sim.advance(61)
        for _ in range(used):
            hook.list_batches()
        seen = {batch_id: make_batch("in_progress", batch_id) for batch_id in ids}

        def cancel(batch_id: str) -> Awaitable[Batch]:
            return acancel_batch(hook, batch_id, seen[batch_id])

        await cancel_while_killed(cancel, ids, log, "marked failed", time_left.pause, sim.now)
        await hook.aclose()
        cancelled = [batch_id for batch_id in ids if sim.status(batch_id).startswith("cancel")]
        assert len(cancelled) == min(count, 3 if used else 6)
        assert time_left.paused <= KILL_SECONDS
        left = ", ".join(batch_id for batch_id in ids if batch_id not in cancelled)
        last = log.warnings[-1] if log.warnings else ""
        assert (f"KimiCancelBatchOperator cancels them: {left}." in last) == bool(left)


async def test_once_the_requests_are_too_many_cancels_are_asked_for_one_by_one() -> None:
    under_way, most, refused = 0, [0], ["a"]

    async def cancel(batch_id: str) -> Batch:
        nonlocal under_way
        under_way += 1
        most.append(max(most.pop(), under_way))
        await asyncio.sleep(0)
        under_way -= 1
        if batch_id in refused:
            refused.remove(batch_id)
            most.append(0)  # count anew
            raise too_many()
        return make_batch("cancelling", batch_id)

    async def pause(seconds: float) -> None:
        assert under_way == 0

    await cancel_while_killed(cancel, list("abcdefgh"), LogRecord(), "marked failed", pause)
    assert most == [3, 1]


async def test_batches_that_were_not_cancelled_are_named_also_where_the_fault_is_permanent() -> None:
    cancel, log = Cancel({"a": [KimiApiError("refused", status_code=401)]}), LogRecord()
    await cancel_while_killed(cancel, ["a", "b"], log, "marked failed", cancel.pause, cancel.now)
    assert log.warnings[-1].startswith("1 of 2 batches were not cancelled.")
    assert log.warnings[-1].endswith("KimiCancelBatchOperator cancels them: a.")


# What is paid


async def test_the_log_of_a_kill_says_how_many_rows_are_done_and_how_to_land_them() -> None:
    async def cancel(batch_id: str) -> Batch:
        return make_batch("cancelling", batch_id, request_counts=Counts(200, 101))

    log = LogRecord()
    await cancel_while_killed(cancel, ["a"], log, "the task was marked failed")
    assert "a is cancelling, 101 of 200 rows completed (the task was marked failed)." in log.infos
    assert (
        "Completed rows are billed. Once the batches have ended, a clear of the waiting task and those behind it lands"
        in log.infos[-1]
    )
    assert log.infos[-1].endswith("They are in a.")


async def test_the_log_of_a_kill_offers_nothing_to_land_where_no_row_is_done() -> None:
    async def cancel(batch_id: str) -> Batch:
        return make_batch("cancelling", batch_id, request_counts=Counts(200, 0))

    log = LogRecord()
    await cancel_while_killed(cancel, ["a"], log, "the task was marked failed")
    assert not [line for line in log.infos if "lands" in line]
