"""Whatever the platform answers to an upload or a create, one batch is paid for each shard."""

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

#: What goes wrong, and how often the call then arrives in all.
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
    """A sleep that moves the simulated clock; a real pause lets a call that hangs be done."""

    def sleep(seconds: float) -> None:
        time.sleep(real_seconds)
        sim.advance(seconds)

    return sleep


class TestOneBatchForEachShard:
    """T1: there is no hidden retry, and no idempotency key to rely on."""

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("lag", [0, 10])
    def test_whatever_becomes_of_a_create(self, connect: Connect, fault: str, lag: int) -> None:
        """Also where the list shows a batch only ten seconds later."""
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
    def test_whatever_becomes_of_an_upload(self, connect: Connect, fault: str) -> None:
        what, arrivals = FAULTS[fault]
        with KimiSimulator(speed=0) as sim:
            hook = connect(sim, timeout=1)
            sim.inject("upload_file", **what)
            submission = submit(hook, order(["a", "b"], **TWO), ATTEMPT, LogRecord(), moving(sim, 0.5))
            assert list(sim.batches) == submission.batch_ids
            assert sim.file_ids("batch") == submission.input_file_ids, "a file that was stored is used"
            assert calls(sim, "upload_file") == arrivals

    def test_waits_as_long_as_the_platform_asks(self, connect: Connect) -> None:
        with KimiSimulator(speed=0) as sim:
            sim.inject("create_batch", status=429, error_type="rate_limit_reached_error", retry_after=40)
            paused: list[float] = []
            submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), paused.append)
        assert paused[0] == 40

    def test_where_the_file_is_known_only_later(self, connect: Connect) -> None:
        """T35: the same file is offered again, and uploaded once."""
        with KimiSimulator(speed=0, behaviour=Behaviour(file_lag_seconds=4)) as sim:
            submission = submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), sim.advance)
            assert list(sim.batches) == submission.batch_ids
            assert calls(sim, "upload_file") == 1
            assert sim.file_ids("batch") == submission.input_file_ids

    def test_and_no_batch_at_all_where_the_file_never_becomes_known(self, connect: Connect) -> None:
        with KimiSimulator(speed=0, behaviour=Behaviour(file_lag_seconds=1e6)) as sim:
            with pytest.raises(KimiApiError, match="not found"):
                submit(connect(sim), order(["a"]), ATTEMPT, LogRecord(), sim.advance)
            assert (len(sim.batches), sim.file_ids("batch")) == (0, [])


class TestARetryAtOnce:
    def test_of_an_attempt_that_died_right_after_its_create(self, connect: Connect) -> None:
        """T2: the list does not show the batch yet, so the retry looks again before it creates anything."""
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

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_finds_a_match_on_the_third_page(self, connect: Connect, newest_first: bool) -> None:
        """T2: also in a list whose order nobody documents."""
        with KimiSimulator(speed=0, behaviour=Behaviour(newest_first=newest_first)) as sim:
            hook = connect(sim)
            for _ in range(100):
                hook.create_batch(submit_file(hook), metadata={"whose": "another's"})
            first = submit(hook, order(["a"]), ATTEMPT, LogRecord())
            for _ in range(140 if newest_first else 20):
                hook.create_batch(first.input_file_ids[0], metadata={"whose": "another's"})
            for _ in range(0 if newest_first else 120):
                hook.create_batch(first.input_file_ids[0])
            listed = calls(sim, "list_batches")
            again = submit(hook, order(["a"]), replace(ATTEMPT, number=2), LogRecord(), no_pause)
            assert again.batch_ids == first.batch_ids
            assert calls(sim, "list_batches") - listed >= 2


def submit_file(hook: KimiHook) -> str:
    """Upload a small input."""
    from io import BytesIO

    return hook.upload_file(BytesIO(b"{}\n"), "other.jsonl").id


class TestTheBoundOfTheSearch:
    """It is configurable, and loud."""

    @pytest.fixture
    def crowded(self, sim: KimiSimulator, hook: KimiHook) -> KimiSimulator:
        file_id = submit_file(hook)
        for _ in range(120):
            hook.create_batch(file_id)
        return sim

    @pytest.fixture
    def hook(self, sim: KimiSimulator, connect: Connect) -> KimiHook:
        return connect(sim)

    def attempt(self, hook: KimiHook, run_after: float | None = None, **changes: Any) -> list[str]:
        return submit(hook, order(["a"], **changes), replace(ATTEMPT, run_after=run_after), LogRecord()).batch_ids

    def test_stops_before_anything_is_paid(self, crowded: KimiSimulator, hook: KimiHook) -> None:
        before = len(crowded.batches)
        with pytest.raises(KimiBatchError, match="more than 100 batches.*Raise max_batches_searched") as refused:
            self.attempt(hook, max_batches_searched=100)
        assert not refused.value.retryable
        assert (len(crowded.batches), calls(crowded, "upload_file")) == (before, 1)

    def test_is_no_matter_where_it_reaches_all(self, crowded: KimiSimulator, hook: KimiHook) -> None:
        assert len(self.attempt(hook, max_batches_searched=200)) == 1

    def test_is_no_matter_where_older_batches_cannot_be_of_this_run(
        self, crowded: KimiSimulator, hook: KimiHook
    ) -> None:
        crowded.advance(3 * 86_400)
        hook.create_batch(submit_file(hook))
        listed = calls(crowded, "list_batches")
        assert len(self.attempt(hook, run_after=crowded.now(), max_batches_searched=100)) == 1
        assert calls(crowded, "list_batches") - listed == 2, "one page before the create, one after it"
