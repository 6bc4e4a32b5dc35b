"""The one decision of every wait."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiConnectionConfigError,
    KimiError,
    KimiNoAnswerError,
    KimiResultError,
)
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.waiting.decision import (
    CANCEL_AGAIN_SECONDS,
    CANCEL_GRACE_SECONDS,
    EXPIRY_GRACE_SECONDS,
    Cancel,
    Finish,
    Seen,
    Step,
    Wait,
    Watch,
    decide_next,
)
from airflow_provider_kimi.waiting.stalls import DEFAULT_STALL_SECONDS, OVERDUE_SECONDS, Note, OnStall, moves_after
from tests.support.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch

NOW = 1_757_000_000.0


def api_error(retryable: bool, retry_after_seconds: float | None = None) -> KimiApiError:
    status_code = 503 if retryable else 404
    return KimiApiError(
        "no", status_code=status_code, retryable=retryable, retry_after_seconds=retry_after_seconds, request_id="r"
    )


def decide(*seen: Seen, deadline: float | None = None, **fields: Any) -> Step:
    named = {
        f"batch_{number}": replace(what, id=f"batch_{number}") if isinstance(what, Batch) else what
        for number, what in enumerate(seen, 1)
    }
    return decide_on(named, deadline=deadline, **fields)


def decide_on(seen: dict[str, Seen], now: float = NOW, **fields: Any) -> Step:
    return decide_next(Watch(tuple(seen), **fields), seen, moves_after({}, seen, now), now)


def event_of(step: Step) -> BatchEvent:
    assert isinstance(step, Finish)
    return step.event


class TestOneBatch:
    @pytest.mark.parametrize("status", TERMINAL)
    @pytest.mark.parametrize("deadline", [None, NOW + 1, NOW - 1], ids=["no deadline", "before it", "after it"])
    def test_a_terminal_status_ends_the_wait_and_is_told(self, status: str, deadline: float | None) -> None:
        """T19: a batch that failed, expired or was cancelled is never told as completed."""
        event = event_of(decide(make_batch(status), deadline=deadline))
        assert event == BatchEvent("ended", {"batch_1": BatchEnd(status)})

    @pytest.mark.parametrize("status", ACTIVE)
    def test_an_active_status_is_waited_on(self, status: str) -> None:
        """T40: `cancelling` is not the end."""
        assert decide(make_batch(status)) == Wait(NOW + DEFAULT_STALL_SECONDS)

    @pytest.mark.parametrize("status", UNKNOWN)
    def test_an_unknown_status_is_waited_on_and_noted(self, status: str) -> None:
        """T18: waiting on is safe, silence is not."""
        line = f"Batch batch_1 has the status {status!r}, which is not documented."
        assert decide(make_batch(status)) == Wait(NOW + DEFAULT_STALL_SECONDS, notes=(Note(line, line),))

    @pytest.mark.parametrize("status", [*ACTIVE, *UNKNOWN])
    def test_the_deadline_ends_the_wait_for_any_other_status(self, status: str) -> None:
        """T18: an unknown word does not make a wait endless."""
        event = event_of(decide(make_batch(status), deadline=NOW))
        assert event.outcome == "timed_out"
        assert event.batches == {"batch_1": BatchEnd(status)}
        assert f"batch_1 is {status}" in event.message


class TestAFaultOfOneLook:
    @pytest.mark.parametrize("error", [api_error(True), KimiNoAnswerError("no"), KimiResultError("no")])
    def test_that_passes_only_delays(self, error: KimiError) -> None:
        """T17: one bad poll is not the end of a batch."""
        assert decide(error) == Wait(fault="Could not look at batch batch_1: no")

    @pytest.mark.parametrize("error", [api_error(True), KimiNoAnswerError("no")])
    def test_that_passes_does_not_outlast_the_deadline(self, error: KimiError) -> None:
        event = event_of(decide(error, deadline=NOW))
        assert event.outcome == "timed_out"
        assert event.batches == {}
        assert "1 of 1 batches have not ended: batch_1 could not be read." in event.message
        assert "The last fault: no" in event.message

    @pytest.mark.parametrize("error", [api_error(False), KimiConnectionConfigError("no")])
    @pytest.mark.parametrize("deadline", [None, NOW - 1], ids=["no deadline", "after it"])
    def test_that_is_permanent_ends_the_wait(self, error: KimiError, deadline: float | None) -> None:
        event = event_of(decide(make_batch("completed"), error, deadline=deadline))
        assert event == BatchEvent("failed", {"batch_1": BatchEnd("completed")}, "Could not look at batch batch_2: no")

    def test_that_is_permanent_names_what_ran_when_it_was_read_last(self) -> None:
        """Or nobody would cancel it, nor know that it is billed."""
        before: dict[str, Seen] = {"b1": make_batch(batch_id="b1", request_counts=RequestCounts(10, 5))}
        seen: dict[str, Seen] = {"b1": api_error(True), "b2": api_error(False)}
        event = event_of(decide_next(Watch(("b1", "b2")), seen, moves_after({}, before, NOW), NOW))
        assert event.batches == {"b1": BatchEnd("in_progress", 10, 5)}

    def test_the_permanent_one_of_several_is_told(self) -> None:
        event = event_of(decide(KimiNoAnswerError("passing"), KimiConnectionConfigError("permanent")))
        assert event.message == "Could not look at batch batch_2: permanent"


class TestWhenToDecideAgain:
    def test_is_the_deadline_and_no_later(self) -> None:
        """T8: the event comes at the limit, not an interval later."""
        assert decide(make_batch("in_progress"), deadline=NOW + 7) == Wait(NOW + 7)
        assert decide(make_batch("in_progress"), deadline=NOW + 9e9) == Wait(NOW + DEFAULT_STALL_SECONDS)

    def test_is_the_end_of_the_grace_of_a_cancel(self) -> None:
        step = decide(make_batch("cancelling"), deadline=NOW - 60, on_timeout="cancel")
        assert step == Wait(NOW - 60 + CANCEL_GRACE_SECONDS)

    def test_comes_soon_after_a_cancel_that_may_have_failed(self) -> None:
        step = decide(make_batch("in_progress"), deadline=NOW - 60, on_timeout="cancel")
        assert isinstance(step, Cancel)
        assert (step.batch_ids, step.until) == (("batch_1",), NOW + CANCEL_AGAIN_SECONDS)


class TestSeveralBatches:
    def test_the_wait_goes_on_while_one_is_active(self) -> None:
        step = decide(make_batch("completed"), make_batch("finalizing"), make_batch("failed"))
        assert isinstance(step, Wait)

    def test_the_wait_goes_on_while_one_could_not_be_read(self) -> None:
        step = decide(make_batch("completed"), KimiNoAnswerError("no"))
        assert step == Wait(fault="Could not look at 1 of 2 batches: no")

    def test_the_wait_goes_on_while_one_was_not_seen_yet(self) -> None:
        watch = Watch(("batch_1", "batch_2"))
        assert decide_next(watch, {"batch_1": make_batch("completed")}, {}, NOW) == Wait()

    def test_one_that_is_given_twice_is_waited_for_once(self) -> None:
        watch = Watch(("batch_1", "batch_1"))
        assert event_of(decide_next(watch, {"batch_1": make_batch("completed")}, {}, NOW)).outcome == "ended"

    def test_each_end_is_told_with_its_counts(self) -> None:
        counts = RequestCounts(total=10, completed=7, failed=3)
        event = event_of(
            decide(make_batch("completed", request_counts=counts, error_file_id="file_e"), make_batch("expired"))
        )
        assert event.batches == {"batch_1": BatchEnd("completed", 10, 7, 3, "file_e"), "batch_2": BatchEnd("expired")}


STATUSES = st.sampled_from([*ACTIVE, *TERMINAL, *UNKNOWN])
ERRORS = st.one_of(
    st.builds(api_error, st.booleans(), st.one_of(st.none(), st.floats(0, 1e6))),
    st.builds(KimiNoAnswerError, st.just("no answer")),
    st.builds(KimiConnectionConfigError, st.just("config")),
)
SEEN = st.dictionaries(
    st.text("ab12", min_size=1, max_size=3), st.one_of(STATUSES.map(make_batch), ERRORS), min_size=1, max_size=6
)
CLOCK = st.floats(1e9, 2e9)
LEFT = st.one_of(st.none(), st.floats(-1e5, 1e5))


class TestWhateverIsSeen:
    @given(seen=SEEN, now=CLOCK, left=LEFT)
    def test_a_wait_is_decided_on_again_by_the_deadline(
        self, seen: dict[str, Seen], now: float, left: float | None
    ) -> None:
        deadline = None if left is None else now + left
        step = decide_on(seen, now, deadline=deadline)
        if isinstance(step, Wait):
            assert step.until is None or step.until > now
            assert deadline is None or (step.until is not None and step.until <= deadline)
        if deadline is not None and now >= deadline:
            assert isinstance(step, Finish)

    @given(seen=SEEN, now=CLOCK, left=LEFT)
    def test_ended_means_that_every_batch_was_seen_terminal(
        self, seen: dict[str, Seen], now: float, left: float | None
    ) -> None:
        step = decide_on(seen, now, deadline=None if left is None else now + left)
        all_terminal = all(not isinstance(what, KimiError) and what.status in TERMINAL for what in seen.values())
        ended = isinstance(step, Finish) and step.event.outcome == "ended"
        assert ended is all_terminal
        if isinstance(step, Finish) and ended:
            assert list(step.event.batches) == list(seen)

    @given(seen=SEEN, now=CLOCK, left=LEFT)
    def test_failed_means_that_one_fault_is_permanent(
        self, seen: dict[str, Seen], now: float, left: float | None
    ) -> None:
        step = decide_on(seen, now, deadline=None if left is None else now + left)
        permanent = any(isinstance(what, KimiError) and not what.retryable for what in seen.values())
        assert (isinstance(step, Finish) and step.event.outcome == "failed") is permanent

    @given(seen=SEEN, now=CLOCK)
    def test_without_a_deadline_nothing_times_out(self, seen: dict[str, Seen], now: float) -> None:
        step = decide_on(seen, now)
        assert not isinstance(step, Finish) or step.event.outcome != "timed_out"


class TestTheEndOfAWait:
    """T60: it follows what the platform promised."""

    LATE = make_batch("finalizing", expires_at=int(NOW - EXPIRY_GRACE_SECONDS))

    def test_is_the_last_expiry_and_a_grace(self) -> None:
        assert event_of(decide(self.LATE)).outcome == "timed_out"
        assert isinstance(decide(self.LATE, make_batch(expires_at=int(NOW))), Wait)

    def test_does_not_come_by_an_expiry_that_is_not_known_of_all(self) -> None:
        assert isinstance(decide(self.LATE, make_batch()), Wait)
        assert isinstance(decide(self.LATE, api_error(retryable=True)), Wait)

    def test_is_never_slept_through(self) -> None:
        step = decide(make_batch(expires_at=int(NOW - EXPIRY_GRACE_SECONDS + 7)))
        assert isinstance(step, Wait)
        assert step.until == pytest.approx(NOW + 7, abs=1)


class TestOnTimeoutCancel:
    def test_cancels_a_status_that_nobody_knows_too(self) -> None:
        step = decide(make_batch("queued"), deadline=NOW, on_timeout="cancel")
        assert isinstance(step, Cancel)
        assert step.batch_ids == ("batch_1",)

    def test_cancels_at_last_where_nobody_looked_in_the_hour_after_the_deadline(self) -> None:
        deadline = NOW - CANCEL_GRACE_SECONDS - 60
        seen = [make_batch(status) for status in ("in_progress", "finalizing", "completed")]
        step = decide(*seen, deadline=deadline, on_timeout="cancel")
        assert isinstance(step, Finish)
        assert step.cancels == ("batch_1",)
        assert "asked to stop now" in step.event.message
        assert "goes on and is billed" not in step.event.message

    def test_is_not_said_of_one_that_somebody_cancelled_long_before(self) -> None:
        """Everything had ended by then, though that was seen later only."""
        batch = make_batch("cancelled", cancelling_at=int(NOW - 7200), cancelled_at=int(NOW - 7000))
        assert event_of(decide(batch, deadline=NOW - 60, on_timeout="cancel")).outcome == "ended"


class TestABatchThatStandsStill:
    HALF = RequestCounts(10, 5)

    def stalled(self, on_stall: OnStall, status: str = "in_progress") -> Step:
        batch = make_batch(status, request_counts=self.HALF, expires_at=int(NOW + 86_400))
        seen: dict[str, Seen] = {"batch_1": batch}
        moves = moves_after(moves_after({}, seen, NOW), seen, NOW + 100)
        return decide_next(Watch(("batch_1",), stall_seconds=100, on_stall=on_stall), seen, moves, NOW + 100)

    def test_is_told_with_the_facts(self) -> None:
        step = self.stalled("keep")
        assert isinstance(step, Wait)
        (note,) = step.notes
        assert "batch_1: in_progress, 5 of 10 rows done, and has not moved since 2025-09-04 15:33 UTC" in note.line
        assert "its window ends at 2025-09-05" in note.line

    def test_is_cancelled_if_that_is_asked_for(self) -> None:
        step = self.stalled("cancel")
        assert isinstance(step, Cancel)
        assert step.batch_ids == ("batch_1",)

    @pytest.mark.parametrize("status", ["finalizing", "cancelling"])
    def test_but_not_where_a_cancel_saves_nothing(self, status: str) -> None:
        assert isinstance(self.stalled("cancel", status), Wait)

    def test_ends_the_wait_if_that_is_asked_for(self) -> None:
        event = event_of(self.stalled("fail"))
        assert event.outcome == "failed"
        assert "on_stall='fail'" in event.message

    def test_is_no_longer_so_once_it_moves(self) -> None:
        before: dict[str, Seen] = {"batch_1": make_batch(request_counts=self.HALF)}
        after: dict[str, Seen] = {"batch_1": make_batch(request_counts=RequestCounts(10, 6))}
        moves = moves_after(moves_after({}, before, NOW), after, NOW + 99)
        assert decide_next(Watch(("batch_1",), stall_seconds=100), after, moves, NOW + 100) == Wait(NOW + 199)

    def test_is_one_that_is_overdue_as_well(self) -> None:
        step = decide(make_batch(expires_at=int(NOW - OVERDUE_SECONDS), request_counts=self.HALF))
        assert isinstance(step, Wait)
        (note,) = step.notes
        assert "5 of 10 rows done, and its window ended at 2025-09-04 15:03 UTC." in note.line
        assert "has not moved" not in note.line, "its rows may get done"

    def test_says_so_where_its_window_has_ended_as_well(self) -> None:
        step = decide(
            make_batch("finalizing", finalizing_at=int(NOW - 101), expires_at=int(NOW - 50)), stall_seconds=100
        )
        assert isinstance(step, Wait)
        assert "; its window ended at" in step.notes[0].line

    def test_is_known_by_its_own_times_after_a_restart(self) -> None:
        step = decide(make_batch("finalizing", finalizing_at=int(NOW - 101)), stall_seconds=100)
        assert isinstance(step, Wait)
        assert "has not moved since" in step.notes[0].line

    def test_a_batch_that_could_not_be_read_is_none(self) -> None:
        seen: dict[str, Seen] = {"batch_1": KimiNoAnswerError("no")}
        assert isinstance(decide_next(Watch(("batch_1",), stall_seconds=1), seen, {}, NOW), Wait)
