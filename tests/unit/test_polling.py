"""The one decision of every wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.batch.events import BatchEnd, BatchEvent
from airflow_provider_kimi.batch.polling import (
    EXPIRY_GRACE_SECONDS,
    FIRST_CHECK_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    Finish,
    Seen,
    Step,
    Wait,
    decide_next,
    progress_line,
)
from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiConnectionConfigError,
    KimiError,
    KimiNoAnswerError,
    KimiResultError,
)
from tests.unit.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch

NOW = 1_757_000_000.0


def api_error(retryable: bool, retry_after_seconds: float | None = None) -> KimiApiError:
    status_code = 503 if retryable else 404
    return KimiApiError(
        "no", status_code=status_code, retryable=retryable, retry_after_seconds=retry_after_seconds, request_id="r"
    )


def decide(*seen: Seen, deadline: float | None = None, interval: float = 60.0) -> Step:
    named = {f"batch_{number}": what for number, what in enumerate(seen, 1)}
    return decide_next(named, now=NOW, deadline=deadline, poll_interval_seconds=interval)


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
        assert decide(make_batch(status)) == Wait(60.0)

    @pytest.mark.parametrize("status", UNKNOWN)
    def test_an_unknown_status_is_waited_on_and_noted(self, status: str) -> None:
        """T18: waiting on is safe, silence is not."""
        note = f"Batch batch_1 has the status {status!r}, which is not documented."
        assert decide(make_batch(status)) == Wait(60.0, (note,))

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
        assert decide(error) == Wait(60.0, ("Could not look at batch batch_1: no",))

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
        assert event == BatchEvent("failed", {"batch_1": BatchEnd("completed")}, "no")

    def test_the_permanent_one_of_several_is_told(self) -> None:
        event = event_of(decide(KimiNoAnswerError("passing"), KimiConnectionConfigError("permanent")))
        assert event.message == "permanent"


class TestHowLongToWait:
    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [
            pytest.param(None, 60.0, id="nothing asked"),
            pytest.param(0.0, 60.0, id="nothing to wait"),
            pytest.param(59.0, 60.0, id="less than the interval"),
            pytest.param(300.0, 300.0, id="more than the interval"),
            pytest.param(900.0, 900.0, id="the longest"),
            pytest.param(901.0, 900.0, id="a little longer than that"),
            pytest.param(86_400.0, 900.0, id="a day, which would sleep through the end of the batch"),
            pytest.param(float("inf"), 900.0, id="for ever"),
        ],
    )
    def test_the_platform_may_ask_for_more_than_the_interval(self, asked: float | None, seconds: float) -> None:
        step = decide(api_error(True, asked), make_batch("in_progress"))
        assert isinstance(step, Wait)
        assert step.seconds == seconds

    def test_an_interval_that_is_longer_than_any_pause_is_kept(self) -> None:
        step = decide(api_error(True, 86_400.0), interval=3600.0)
        assert isinstance(step, Wait)
        assert step.seconds == 3600.0
        assert MAX_RETRY_AFTER_SECONDS == 900.0

    def test_the_longest_that_is_asked_counts(self) -> None:
        step = decide(api_error(True, 90.0), api_error(True, 300.0), api_error(True, 120.0))
        assert isinstance(step, Wait)
        assert step.seconds == 300.0

    @pytest.mark.parametrize("left", [0.5, 59.0, 60.0])
    def test_never_past_the_deadline(self, left: float) -> None:
        """T8: the event comes at the limit, not an interval later."""
        assert decide(make_batch("in_progress"), deadline=NOW + left) == Wait(left)
        step = decide(api_error(True, 600.0), deadline=NOW + left)
        assert isinstance(step, Wait)
        assert step.seconds == left

    def test_the_first_check_leaves_time_for_the_deferring_process_to_end(self) -> None:
        """T11: an event that fires at once overtakes it."""
        assert FIRST_CHECK_SECONDS >= 5.0


class TestSeveralBatches:
    def test_the_wait_goes_on_while_one_is_active(self) -> None:
        assert decide(make_batch("completed"), make_batch("finalizing"), make_batch("failed")) == Wait(60.0)

    def test_the_wait_goes_on_while_one_could_not_be_read(self) -> None:
        step = decide(make_batch("completed"), KimiNoAnswerError("no"))
        assert step == Wait(60.0, ("Could not look at batch batch_2: no",))

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
INTERVAL = st.floats(1, 3600)


class TestWhateverIsSeen:
    @given(seen=SEEN, now=CLOCK, left=LEFT, interval=INTERVAL)
    def test_a_wait_is_positive_and_ends_by_the_deadline(
        self, seen: dict[str, Seen], now: float, left: float | None, interval: float
    ) -> None:
        deadline = None if left is None else now + left
        step = decide_next(seen, now=now, deadline=deadline, poll_interval_seconds=interval)
        if isinstance(step, Wait):
            assert step.seconds > 0
            assert deadline is None or step.seconds <= deadline - now
        if deadline is not None and now >= deadline:
            assert isinstance(step, Finish)

    @given(seen=SEEN, now=CLOCK, left=LEFT, interval=INTERVAL)
    def test_ended_means_that_every_batch_was_seen_terminal(
        self, seen: dict[str, Seen], now: float, left: float | None, interval: float
    ) -> None:
        deadline = None if left is None else now + left
        step = decide_next(seen, now=now, deadline=deadline, poll_interval_seconds=interval)
        all_terminal = all(not isinstance(what, KimiError) and what.status in TERMINAL for what in seen.values())
        ended = isinstance(step, Finish) and step.event.outcome == "ended"
        assert ended is all_terminal
        if isinstance(step, Finish) and ended:
            assert list(step.event.batches) == list(seen)

    @given(seen=SEEN, now=CLOCK, left=LEFT, interval=INTERVAL)
    def test_failed_means_that_one_fault_is_permanent(
        self, seen: dict[str, Seen], now: float, left: float | None, interval: float
    ) -> None:
        deadline = None if left is None else now + left
        step = decide_next(seen, now=now, deadline=deadline, poll_interval_seconds=interval)
        permanent = any(isinstance(what, KimiError) and not what.retryable for what in seen.values())
        assert (isinstance(step, Finish) and step.event.outcome == "failed") is permanent

    @given(seen=SEEN, now=CLOCK, interval=INTERVAL)
    def test_without_a_deadline_nothing_times_out(self, seen: dict[str, Seen], now: float, interval: float) -> None:
        step = decide_next(seen, now=now, deadline=None, poll_interval_seconds=interval)
        assert not isinstance(step, Finish) or step.event.outcome != "timed_out"
        assert isinstance(step, Finish) or step.seconds >= interval


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        pytest.param(None, "Batch batch_1: in_progress", id="no counts"),
        pytest.param(RequestCounts(), "Batch batch_1: in_progress", id="zeros while validating"),
        pytest.param(RequestCounts(1234), "Batch batch_1: in_progress, 0 of 1,234 rows done", id="nothing done"),
        pytest.param(RequestCounts(10, 4), "Batch batch_1: in_progress, 4 of 10 rows done", id="some done"),
        pytest.param(RequestCounts(10, 4, 2), "Batch batch_1: in_progress, 6 of 10 rows done (2 failed)", id="failed"),
    ],
)
def test_progress_is_told_in_one_line(counts: RequestCounts | None, line: str) -> None:
    assert progress_line(make_batch("in_progress", request_counts=counts)) == line


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
        step = decide(make_batch(expires_at=int(NOW - EXPIRY_GRACE_SECONDS + 7)), interval=60.0)
        assert isinstance(step, Wait)
        assert step.seconds == pytest.approx(7, abs=1)
