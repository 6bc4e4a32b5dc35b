"""How a wait ends, in words: the cause, what to do, and the batches last."""

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.exceptions import KimiError, KimiNoAnswerError
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.waiting.endings import timed_out
from airflow_provider_kimi.waiting.known import known_after
from tests.support.samples import make_batch

NOW = 1_757_000_000.0


def event_of(*seen: Batch | KimiError, is_expiry: bool = False) -> BatchEvent:
    named = {f"b{number}": what for number, what in enumerate(seen, 1)}
    return timed_out(known_after({}, named, NOW), list(named), is_expiry=is_expiry)


def test_a_timeout_names_what_runs_and_what_could_not_be_read() -> None:
    event = event_of(
        make_batch("completed", "b1"),
        make_batch("in_progress", "b2", request_counts=RequestCounts(200, 192, 5)),
        KimiNoAnswerError("No answer."),
    )
    assert event.outcome == "timed_out"
    assert event.batches == {"b1": BatchEnd("completed"), "b2": BatchEnd("in_progress", 200, 192, 5)}
    assert event.message == (
        "The wait timed out: 2 of 3 batches have not ended. Clear this task to wait on, or set a longer timeout; "
        "KimiCancelBatchOperator ends a batch that does not assemble its results yet. What runs goes on and is billed: "
        "b2 is in_progress, 192 of 200 rows completed, 5 failed; b3 could not be read. The last fault: No answer."
    )


def test_a_timeout_without_a_fault_names_none() -> None:
    message = event_of(make_batch("validating", "b1")).message
    assert "What runs goes on and is billed: b1 is validating." in message
    assert "fault" not in message


def test_a_timeout_long_after_the_expiry_of_the_batches_asks_for_the_support_of_the_platform() -> None:
    message = event_of(make_batch("finalizing", "b1"), is_expiry=True).message
    assert message.startswith("The wait timed out six hours after its batches should have ended (expires_at): 1 of 1")
    assert "Ask Kimi's support about them" in message
    assert "longer timeout" not in message


def test_a_timeout_that_cancelled_everything_says_only_what_was_cancelled() -> None:
    """The task adds what to do, which depends on its parameters."""
    message = event_of(make_batch("cancelled", "b1", request_counts=RequestCounts(4, 2))).message
    assert message == (
        "What ran was cancelled when the wait timed out. Completed rows are billed: b1 is cancelled, "
        "2 of 4 rows completed."
    )
