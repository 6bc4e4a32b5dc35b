"""The decisions of every wait."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiConnectionConfigError,
    KimiError,
    KimiInputError,
    KimiNoAnswerError,
    KimiResultError,
)
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.watch import (
    CANCEL_GRACE_SECONDS,
    DEFAULT_STALL_SECONDS,
    EXPIRY_GRACE_SECONDS,
    OnStall,
    OnTimeout,
    Watch,
)
from airflow_provider_kimi.waiting.decision import CANCEL_AGAIN_SECONDS, Cancel, Finish, Step, Wait, decide_next
from airflow_provider_kimi.waiting.doubt import CONNECTION_PATIENCE_SECONDS, YOUNG_PATIENCE_SECONDS
from airflow_provider_kimi.waiting.known import Known, Seen, known_after
from airflow_provider_kimi.waiting.stalls import OVERDUE_SECONDS, Note
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
    return decide_next(Watch(tuple(seen), **fields), known_after({}, seen, now), now)


_OLD = make_batch(batch_id="b1", created_at=int(NOW - 3600))
_YOUNG = make_batch(batch_id="b1", created_at=int(NOW - 600))

#: Fault, the batch as it was read before, and the seconds for which the fault has to last.
PATIENCES = [
    pytest.param(api_error(False), None, 300, id="404, never read"),
    pytest.param(api_error(False), _YOUNG, 300, id="404, young"),
    pytest.param(api_error(False), make_batch(batch_id="b1"), 300, id="404, of unknown age"),
    pytest.param(api_error(False), _OLD, 60, id="404, old"),
    pytest.param(KimiApiError("no", status_code=403), _OLD, 60, id="403"),
    pytest.param(KimiApiError("no", status_code=400), _OLD, 60, id="400"),
    pytest.param(KimiApiError("no", status_code=401), _OLD, 600, id="401"),
    pytest.param(KimiApiError("no", status_code=401), None, 600, id="401, never read"),
    pytest.param(
        KimiApiError("no", status_code=429, error_type="exceeded_current_quota_error"), _OLD, 600, id="balance"
    ),
    pytest.param(KimiConnectionConfigError("no"), None, 600, id="connection"),
    pytest.param(KimiNoAnswerError("no", kind="certificate", retryable=False), _OLD, 600, id="certificate"),
]


def event_of(step: Step) -> BatchEvent:
    assert isinstance(step, Finish)
    return step.event


class TestOneBatch:
    @pytest.mark.parametrize("status", TERMINAL)
    @pytest.mark.parametrize("deadline", [None, NOW + 1, NOW - 1], ids=["no deadline", "before it", "after it"])
    def test_a_terminal_status_ends_the_wait_and_is_reported_as_it_is(
        self, status: str, deadline: float | None
    ) -> None:
        """A batch that failed, expired or was cancelled is never reported as completed."""
        event = event_of(decide(make_batch(status), deadline=deadline))
        assert event == BatchEvent("ended", {"batch_1": BatchEnd(status)})

    @pytest.mark.parametrize("status", ACTIVE)
    def test_an_active_status_is_waited_on(self, status: str) -> None:
        """`cancelling` too is not the end."""
        assert decide(make_batch(status)) == Wait(NOW + DEFAULT_STALL_SECONDS)

    @pytest.mark.parametrize("status", UNKNOWN)
    def test_an_undocumented_status_is_waited_on_with_a_warning(self, status: str) -> None:
        line = f"Batch batch_1 has the status {status!r}, which is not documented."
        assert decide(make_batch(status)) == Wait(NOW + DEFAULT_STALL_SECONDS, notes=(Note(line, line),))

    @pytest.mark.parametrize("status", [*ACTIVE, *UNKNOWN])
    def test_the_deadline_ends_the_wait_for_any_status_that_is_not_terminal(self, status: str) -> None:
        event = event_of(decide(make_batch(status), deadline=NOW))
        assert event.outcome == "timed_out"
        assert event.batches == {"batch_1": BatchEnd(status)}
        assert f"batch_1 is {status}" in event.message


class TestAFaultOfOnePoll:
    @pytest.mark.parametrize("error", [api_error(True), KimiNoAnswerError("no"), KimiResultError("no")])
    def test_a_passing_fault_only_delays_the_wait(self, error: KimiError) -> None:
        assert decide(error) == Wait(fault="Batch batch_1 could not be read: no")

    @pytest.mark.parametrize("error", [api_error(True), KimiNoAnswerError("no")])
    def test_a_passing_fault_does_not_outlast_the_deadline(self, error: KimiError) -> None:
        event = event_of(decide(error, deadline=NOW))
        assert event.outcome == "timed_out"
        assert event.batches == {}
        assert event.message.startswith("The wait timed out: 1 of 1 batches have not ended. ")
        assert event.message.endswith(" batch_1 could not be read. The last fault: no")

    def test_a_call_that_was_not_even_sent_ends_the_wait_at_once_and_for_good(self) -> None:
        event = event_of(decide(make_batch("completed"), KimiInputError("no")))
        assert event == BatchEvent("failed", {"batch_1": BatchEnd("completed")}, "Batch batch_2 could not be read: no")

    @pytest.mark.parametrize("error", [api_error(False), KimiConnectionConfigError("no")])
    def test_a_fault_that_looks_permanent_does_not_outlast_the_deadline(self, error: KimiError) -> None:
        assert event_of(decide(error, deadline=NOW)).outcome == "timed_out"


class TestAFaultThatLooksPermanent:
    """A fault is believed only when it has lasted, without one good answer."""

    @staticmethod
    def after(*polls: tuple[float, Seen]) -> Step:
        """The decision after polls of one batch, each at so many seconds."""
        known: dict[str, Known] = {}
        for seconds, what in polls:
            known = known_after(known, {"b1": what}, NOW + seconds)
        return decide_next(Watch(("b1",)), known, NOW + polls[-1][0])

    @pytest.mark.parametrize(("fault", "batch", "patience"), PATIENCES)
    def test_it_is_believed_when_it_has_lasted(self, fault: KimiError, batch: Batch | None, patience: float) -> None:
        before: list[tuple[float, Seen]] = [] if batch is None else [(-1.0, batch)]
        step = self.after(*before, (0, fault), (patience - 1, fault))
        assert isinstance(step, Wait)
        assert step.until == NOW + patience
        event = event_of(self.after(*before, (0, fault), (patience, fault)))
        assert (event.outcome, event.retryable) == ("failed", True)
        assert event.message == "Batch b1 could not be read: no"

    @pytest.mark.parametrize(("fault", "batch", "patience"), PATIENCES)
    def test_one_good_answer_withdraws_it(self, fault: KimiError, batch: Batch | None, patience: float) -> None:
        good = make_batch(batch_id="b1", created_at=int(NOW - 10_000))
        step = self.after((0, fault), (patience - 1, good), (patience, fault))
        assert isinstance(step, Wait)

    def test_a_fault_that_passes_neither_withdraws_nor_confirms_it(self) -> None:
        gone, away = api_error(False), api_error(True)
        assert isinstance(self.after((0, gone), (10, away), (900, away)), Wait)
        assert isinstance(self.after((0, gone), (10, away), (900, away), (901, gone)), Finish)

    def test_a_refused_key_does_not_confirm_that_a_batch_is_gone(self) -> None:
        gone, refused = api_error(False), KimiApiError("no", status_code=401)
        assert isinstance(self.after((0, gone), (400, refused)), Wait)
        assert isinstance(self.after((0, gone), (400, refused), (1000, refused)), Finish)

    def test_one_warning_says_at_once_what_to_do_however_many_batches_there_are(self) -> None:
        refused = KimiApiError("The key is refused. Put a valid key into it.", status_code=401)
        step = decide(make_batch(), *[refused] * 50)
        assert isinstance(step, Wait)
        (note,) = step.doubts
        assert note.line == (
            "No batch can be read. The wait goes on for 10 minutes: put it right by then, and it goes on. "
            "The key is refused. Put a valid key into it."
        )

    def test_a_warning_about_unknown_batches_names_a_few_of_them(self) -> None:
        step = decide(make_batch(), *[api_error(False)] * 5)
        assert isinstance(step, Wait)
        assert [note.line for note in step.doubts] == [
            "The platform refuses to show batch_2, batch_3, batch_4 and others. "
            "The wait goes on for 5 minutes, in case that passes. no"
        ]

    def test_what_ran_when_it_was_last_read_is_reported(self) -> None:
        before: dict[str, Seen] = {"b1": make_batch(batch_id="b1", request_counts=RequestCounts(10, 5))}
        seen: dict[str, Seen] = {"b1": api_error(True), "b2": api_error(False)}
        known = known_after(known_after({}, before, NOW), seen, NOW)
        event = event_of(decide_next(Watch(("b1", "b2")), known, NOW + YOUNG_PATIENCE_SECONDS))
        assert event.batches == {"b1": BatchEnd("in_progress", 10, 5)}

    def test_the_permanent_fault_of_several_is_reported(self) -> None:
        seen: dict[str, Seen] = {"b1": KimiNoAnswerError("passing"), "b2": KimiConnectionConfigError("permanent")}
        step = decide_next(Watch(("b1", "b2")), known_after({}, seen, NOW), NOW + CONNECTION_PATIENCE_SECONDS)
        assert event_of(step).message == "Batch b2 could not be read: permanent"


class TestWhenToDecideAgain:
    def test_a_wait_decides_again_at_its_deadline_and_no_later(self) -> None:
        assert decide(make_batch("in_progress"), deadline=NOW + 7) == Wait(NOW + 7)
        assert decide(make_batch("in_progress"), deadline=NOW + 9e9) == Wait(NOW + DEFAULT_STALL_SECONDS)

    def test_after_a_cancel_at_the_deadline_a_wait_decides_again_when_the_grace_of_the_cancel_ends(self) -> None:
        step = decide(make_batch("cancelling"), deadline=NOW - 60, on_timeout="cancel")
        assert step == Wait(NOW - 60 + CANCEL_GRACE_SECONDS)

    def test_a_cancel_that_may_have_failed_is_decided_on_again_soon(self) -> None:
        step = decide(make_batch("in_progress"), deadline=NOW - 60, on_timeout="cancel")
        assert isinstance(step, Cancel)
        assert (step.batch_ids, step.until) == (("batch_1",), NOW + CANCEL_AGAIN_SECONDS)


class TestSeveralBatches:
    def test_the_wait_goes_on_while_one_batch_is_active(self) -> None:
        step = decide(make_batch("completed"), make_batch("finalizing"), make_batch("failed"))
        assert isinstance(step, Wait)

    def test_the_wait_goes_on_while_one_batch_could_not_be_read(self) -> None:
        step = decide(make_batch("completed"), KimiNoAnswerError("no"))
        assert step == Wait(fault="1 of 2 batches could not be read: no")

    def test_the_wait_goes_on_while_one_batch_was_not_polled_yet(self) -> None:
        known = known_after({}, {"batch_1": make_batch("completed")}, NOW)
        assert decide_next(Watch(("batch_1", "batch_2")), known, NOW) == Wait()

    def test_a_batch_that_is_given_twice_is_waited_for_once(self) -> None:
        known = known_after({}, {"batch_1": make_batch("completed")}, NOW)
        assert event_of(decide_next(Watch(("batch_1", "batch_1")), known, NOW)).outcome == "ended"

    def test_the_end_of_each_batch_is_reported_with_its_counts(self) -> None:
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
    st.builds(KimiInputError, st.just("input")),
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
        unsent = any(isinstance(what, KimiInputError) for what in seen.values())
        assert (isinstance(step, Finish) and step.event.outcome == "failed") is unsent, "one poll proves nothing else"

    @given(seen=SEEN, now=CLOCK)
    def test_without_a_deadline_nothing_times_out(self, seen: dict[str, Seen], now: float) -> None:
        step = decide_on(seen, now)
        assert not isinstance(step, Finish) or step.event.outcome != "timed_out"


class TestTheDeadlineThatTheBatchesSet:
    LATE = make_batch("finalizing", expires_at=int(NOW - EXPIRY_GRACE_SECONDS))

    def test_a_wait_ends_a_grace_after_the_last_expiry(self) -> None:
        assert event_of(decide(self.LATE)).outcome == "timed_out"
        assert isinstance(decide(self.LATE, make_batch(expires_at=int(NOW))), Wait)

    def test_no_expiry_ends_a_wait_while_it_is_not_known_of_all_batches(self) -> None:
        assert isinstance(decide(self.LATE, make_batch()), Wait)
        assert isinstance(decide(self.LATE, api_error(retryable=True)), Wait)

    def test_the_end_by_expiry_is_never_slept_through(self) -> None:
        step = decide(make_batch(expires_at=int(NOW - EXPIRY_GRACE_SECONDS + 7)))
        assert isinstance(step, Wait)
        assert step.until == pytest.approx(NOW + 7, abs=1)


class TestOnTimeoutCancel:
    def test_on_timeout_cancels_a_batch_with_an_undocumented_status_too(self) -> None:
        step = decide(make_batch("queued"), deadline=NOW, on_timeout="cancel")
        assert isinstance(step, Cancel)
        assert step.batch_ids == ("batch_1",)

    def test_on_timeout_cancels_at_last_where_no_poll_came_in_the_hour_after_the_deadline(self) -> None:
        deadline = NOW - CANCEL_GRACE_SECONDS - 60
        seen = [make_batch(status) for status in ("in_progress", "finalizing", "completed")]
        step = decide(*seen, deadline=deadline, on_timeout="cancel")
        assert isinstance(step, Finish)
        assert step.cancels == ("batch_1",)
        assert "What can be cancelled is cancelled now" in step.event.message
        assert "goes on and is billed" not in step.event.message

    def test_a_batch_that_was_cancelled_long_before_the_deadline_has_simply_ended(self) -> None:
        """Everything had ended by then, though that was seen later only."""
        batch = make_batch("cancelled", cancelling_at=int(NOW - 7200), cancelled_at=int(NOW - 7000))
        assert event_of(decide(batch, deadline=NOW - 60, on_timeout="cancel")).outcome == "ended"


class TestAStalledBatch:
    HALF = RequestCounts(10, 5)

    def stalled(self, on_stall: OnStall, status: str = "in_progress") -> Step:
        batch = make_batch(status, request_counts=self.HALF, expires_at=int(NOW + 86_400))
        seen: dict[str, Seen] = {"batch_1": batch}
        known = known_after(known_after({}, seen, NOW), seen, NOW + 100)
        return decide_next(Watch(("batch_1",), stall_seconds=100, on_stall=on_stall), known, NOW + 100)

    def test_a_stalled_batch_is_described_in_a_warning(self) -> None:
        step = self.stalled("keep")
        assert isinstance(step, Wait)
        (note,) = step.notes
        assert (
            "batch_1 is in_progress, 5 of 10 rows completed, and has not moved since 2025-09-04 15:33 UTC" in note.line
        )
        assert "its window ends at 2025-09-05" in note.line

    def test_a_stalled_batch_is_cancelled_if_that_is_asked_for(self) -> None:
        step = self.stalled("cancel")
        assert isinstance(step, Cancel)
        assert step.batch_ids == ("batch_1",)

    @pytest.mark.parametrize("status", ["finalizing", "cancelling"])
    def test_a_stalled_batch_is_not_cancelled_where_a_cancel_saves_nothing(self, status: str) -> None:
        assert isinstance(self.stalled("cancel", status), Wait)

    def test_a_stalled_batch_ends_the_wait_if_that_is_asked_for(self) -> None:
        event = event_of(self.stalled("fail"))
        assert event.outcome == "failed"
        assert "on_stall='fail'" in event.message

    def test_a_batch_is_no_longer_stalled_once_it_moves(self) -> None:
        before: dict[str, Seen] = {"batch_1": make_batch(request_counts=self.HALF)}
        after: dict[str, Seen] = {"batch_1": make_batch(request_counts=RequestCounts(10, 6))}
        known = known_after(known_after({}, before, NOW), after, NOW + 99)
        assert decide_next(Watch(("batch_1",), stall_seconds=100), known, NOW + 100) == Wait(NOW + 199)

    def test_a_batch_that_is_overdue_is_stalled_though_its_rows_may_get_done(self) -> None:
        step = decide(make_batch(expires_at=int(NOW - OVERDUE_SECONDS), request_counts=self.HALF))
        assert isinstance(step, Wait)
        (note,) = step.notes
        assert "5 of 10 rows completed, and its window ended at 2025-09-04 15:03 UTC." in note.line
        assert "has not moved" not in note.line

    def test_the_warning_of_a_stalled_batch_says_that_its_window_has_ended_as_well(self) -> None:
        step = decide(
            make_batch("finalizing", finalizing_at=int(NOW - 101), expires_at=int(NOW - 50)), stall_seconds=100
        )
        assert isinstance(step, Wait)
        assert "; its window ended at" in step.notes[0].line

    def test_a_stalled_batch_is_known_by_its_own_times_after_a_restart(self) -> None:
        step = decide(make_batch("finalizing", finalizing_at=int(NOW - 101)), stall_seconds=100)
        assert isinstance(step, Wait)
        assert "has not moved since" in step.notes[0].line

    def test_a_batch_that_could_not_be_read_is_not_stalled(self) -> None:
        seen: dict[str, Seen] = {"batch_1": KimiNoAnswerError("no")}
        assert isinstance(decide_next(Watch(("batch_1",), stall_seconds=1), known_after({}, seen, NOW), NOW), Wait)


def test_each_policy_of_a_timeout_leads_to_a_step_of_its_own() -> None:
    running: dict[str, Seen] = {"batch_1": make_batch("in_progress", "batch_1")}
    policies: tuple[OnTimeout, ...] = get_args(OnTimeout)
    steps = [decide_on(running, deadline=NOW - 1, on_timeout=policy) for policy in policies]
    assert len({type(step) for step in steps}) == len(policies)


class TestBatchesToCome:
    """More are to be created once there is room for them."""

    def test_the_wait_is_over_once_fewer_batches_run(self) -> None:
        running, done = make_batch("in_progress"), make_batch("completed")
        assert isinstance(decide(running, running, fewer_than=2, to_come=3), Wait)
        step = decide(running, done, fewer_than=2, to_come=3)
        assert isinstance(step, Finish)
        assert (step.event.outcome, len(step.event.batches)) == ("ended", 2)

    def test_a_batch_that_could_not_be_read_counts_as_one_that_runs(self) -> None:
        assert isinstance(decide(api_error(True), make_batch("completed"), fewer_than=1, to_come=3), Wait)

    def test_the_time_to_look_for_room_ends_the_wait_and_nothing_else_does(self) -> None:
        step = decide(make_batch("completed"), look_at=NOW + 60, to_come=3)
        assert isinstance(step, Wait)
        assert step.until == NOW + 60
        assert isinstance(decide(make_batch("in_progress"), look_at=NOW, to_come=3), Finish)
        assert isinstance(decide(look_at=NOW, to_come=3), Finish)

    def test_a_wait_without_a_batch_times_out(self) -> None:
        step = decide(deadline=NOW, look_at=NOW + 60, to_come=3)
        assert isinstance(step, Finish)
        assert step.event.message == (
            "The wait timed out: there was no room for all batches. Clear this task to wait on, or set a longer "
            "timeout. 3 more were not created yet, and cost nothing; a clear of this task creates them."
        )

    def test_the_windows_of_batches_that_have_ended_do_not_end_the_wait(self) -> None:
        old = make_batch("completed", expires_at=int(NOW - 2 * EXPIRY_GRACE_SECONDS))
        assert isinstance(decide(old, look_at=NOW + 60, to_come=3), Wait)
        late = make_batch("in_progress", expires_at=int(NOW - 2 * EXPIRY_GRACE_SECONDS))
        step = decide(old, late, look_at=NOW + 60, to_come=3)
        assert isinstance(step, Finish)
        assert step.event.outcome == "timed_out"

    def test_what_runs_at_the_end_of_the_time_is_cancelled_though_enough_would_have_ended(self) -> None:
        running = make_batch("in_progress")
        step = decide(running, running, fewer_than=1, to_come=3, deadline=NOW, on_timeout="cancel")
        assert isinstance(step, Cancel)
