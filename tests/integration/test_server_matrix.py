"""One batch is paid for each shard, whatever the platform answers to an upload or a create."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.simulator.faults import CallName
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, no_pause, order, submit

TWO = {"max_rows_per_batch": 1}

#: What goes wrong, and how many of these calls the platform receives in all.
FAULTS: dict[str, tuple[dict[str, Any], int]] = {
    "accepted, then 502": ({"status": 502, "accepted": True}, 2),
    "accepted, then dropped": ({"drop": True, "accepted": True}, 2),
    "accepted, then no answer": ({"hang_seconds": 2, "accepted": True}, 2),
    "accepted, then 504 in HTML": ({"status": 504, "html": True, "accepted": True}, 2),
    "refused 429 twice": ({"status": 429, "error_type": "engine_overloaded_error", "times": 2}, 4),
    "refused 429 with a wait": ({"status": 429, "error_type": "rate_limit_reached_error", "retry_after": 7}, 3),
    "500 and not stored": ({"status": 500}, 3),
    "503 and not stored": ({"status": 503, "error_type": "server_unavailable"}, 3),
}


def calls(sim: KimiSimulator, name: CallName) -> int:
    return [call.name for call in sim.journal].count(name)


def moving(sim: KimiSimulator, real_seconds: float = 0.0) -> Callable[[float], None]:
    """A sleep that moves the simulated clock. A real pause gives a call that hangs time to end."""

    def sleep(seconds: float) -> None:
        time.sleep(real_seconds)
        sim.advance(seconds)

    return sleep


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lag", [0, 10], ids=["the list is up to date", "the list lags"])
def test_one_batch_is_paid_for_each_shard_whatever_becomes_of_a_create(connect: Connect, fault: str, lag: int) -> None:
    """The platform offers no idempotency key, and a list that lags shows a batch ten seconds after its create."""
    what, arrivals = FAULTS[fault]
    with KimiSimulator(speed=0, behaviour=Behaviour(list_lag_seconds=lag)) as sim:
        hook = connect(sim, timeout=1)
        sim.inject("create_batch", **what)
        ids = submit(hook, order(["a", "b"], **TWO), ATTEMPT, LogRecord(), moving(sim, 0.5)).batch_ids
        assert list(sim.batches) == ids
        assert {sim.status(batch_id) for batch_id in ids} <= {"validating", "in_progress", "completed"}
        assert calls(sim, "create_batch") == arrivals
        assert calls(sim, "upload_file") == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_one_batch_is_paid_for_each_shard_whatever_becomes_of_an_upload(connect: Connect, fault: str) -> None:
    what, arrivals = FAULTS[fault]
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim, timeout=1)
        sim.inject("upload_file", **what)
        submission = submit(hook, order(["a", "b"], **TWO), ATTEMPT, LogRecord(), moving(sim, 0.5))
        assert list(sim.batches) == submission.batch_ids
        assert sim.file_ids("batch") == submission.input_file_ids, "a file that was stored is used"
        assert calls(sim, "upload_file") == arrivals


def test_a_create_is_repeated_after_the_pause_that_the_platform_asks_for(connect: Connect) -> None:
    with KimiSimulator(speed=0) as sim:
        sim.inject("create_batch", status=429, error_type="rate_limit_reached_error", retry_after=40)
        paused: list[float] = []
        submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), paused.append)
    assert 40 <= paused[0] <= 60, "with a share by chance, so that tasks part"


def test_a_create_is_repeated_until_the_platform_knows_the_uploaded_file(connect: Connect) -> None:
    """The create names the same file again, which is uploaded once."""
    with KimiSimulator(speed=0, behaviour=Behaviour(file_lag_seconds=4)) as sim:
        submission = submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), sim.advance)
        assert list(sim.batches) == submission.batch_ids
        assert calls(sim, "upload_file") == 1
        assert sim.file_ids("batch") == submission.input_file_ids


def test_no_batch_and_no_file_is_left_where_the_platform_never_knows_the_uploaded_file(connect: Connect) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(file_lag_seconds=1e6)) as sim:
        with pytest.raises(KimiApiError, match="not found"):
            submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), sim.advance)
        assert (len(sim.batches), sim.file_ids("batch")) == (0, [])


def test_a_retry_finds_a_batch_that_was_created_a_moment_before_the_worker_died(connect: Connect) -> None:
    """The list does not show the batch yet, so the retry searches a second time before it creates anything."""
    slow = Timing(validating_seconds=600)
    with KimiSimulator(speed=0, timing=slow, behaviour=Behaviour(list_lag_seconds=10)) as sim:
        hook = connect(sim)

        def dies(_: float) -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            submit(hook, order(["a"]), ATTEMPT, LogRecord(), dies)
        (first,) = sim.batches
        sim.advance(1)
        again = submit(hook, order(["a"]), replace(ATTEMPT, number=2), LogRecord(), sim.advance)
        assert again.batch_ids == [first]
        sim.advance(5)
        assert list(sim.batches) == [first]
        assert sim.file_ids("batch") == again.input_file_ids, "the file was not uploaded twice"


@pytest.mark.parametrize("list_order", ["newest_first", "oldest_first"])
def test_a_retry_finds_its_batch_on_a_later_page_whatever_the_order_of_the_list(
    connect: Connect, list_order: Any
) -> None:
    """The order of the list is not documented."""
    with KimiSimulator(speed=0, behaviour=Behaviour(list_order=list_order)) as sim:
        hook = connect(sim)
        for _ in range(100):
            hook.create_batch(submit_file(hook), metadata={"whose": "another's"})
        first = submit(hook, order(["a"]), ATTEMPT, LogRecord())
        for _ in range(140 if list_order == "newest_first" else 20):
            hook.create_batch(first.input_file_ids[0], metadata={"whose": "another's"})
        for _ in range(0 if list_order == "newest_first" else 120):
            hook.create_batch(first.input_file_ids[0])
        listed = calls(sim, "list_batches")
        again = submit(hook, order(["a"]), replace(ATTEMPT, number=2), LogRecord(), no_pause)
        assert again.batch_ids == first.batch_ids
        assert calls(sim, "list_batches") - listed >= 2


def submit_file(hook: KimiHook) -> str:
    """Upload a small input."""
    from io import BytesIO

    return hook.upload_file(BytesIO(b"{}\n"), "other.jsonl").id


@pytest.fixture
def crowded(sim: KimiSimulator, hook: KimiHook) -> KimiSimulator:
    """An account of 120 batches."""
    file_id = submit_file(hook)
    for _ in range(120):
        hook.create_batch(file_id)
    return sim


def attempt(hook: KimiHook, run_after: float | None = None, **changes: Any) -> list[str]:
    """The batches of one attempt in a run that began at this time."""
    return submit(hook, order(["a"], **changes), replace(ATTEMPT, run_after=run_after), LogRecord()).batch_ids


def test_a_search_that_reaches_its_limit_stops_before_anything_is_paid(crowded: KimiSimulator, hook: KimiHook) -> None:
    before = len(crowded.batches)
    with pytest.raises(KimiBatchError, match="more than 100 batches .raise max_batches_searched") as refused:
        attempt(hook, max_batches_searched=100)
    assert not refused.value.retryable
    assert (len(crowded.batches), calls(crowded, "upload_file")) == (before, 1)


def test_a_search_whose_limit_covers_every_batch_goes_through(crowded: KimiSimulator, hook: KimiHook) -> None:
    assert len(attempt(hook, max_batches_searched=200)) == 1


def test_a_search_goes_through_where_the_batches_beyond_its_limit_are_older_than_the_run(
    crowded: KimiSimulator, hook: KimiHook
) -> None:
    crowded.advance(3 * 86_400)
    hook.create_batch(submit_file(hook))
    listed = calls(crowded, "list_batches")
    assert len(attempt(hook, run_after=crowded.now(), max_batches_searched=100)) == 1
    assert calls(crowded, "list_batches") - listed == 2, "one page before the create, one after it"
