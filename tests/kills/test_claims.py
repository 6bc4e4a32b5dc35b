"""Who may cancel: a failed mark, and only what no other live task instance may be waiting for."""

import pytest

from airflow_provider_kimi.kills.claims import Other, kept, marks_in_words, unclaimed, why_given_up

LIVE = (None, "scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule", "restarting")


def test_a_failed_mark_gives_the_task_up() -> None:
    assert why_given_up("failed") == "the task was marked failed"


@pytest.mark.parametrize("state", ["success", "skipped", "removed", *LIVE], ids=str)
def test_nothing_else_that_ends_an_attempt_gives_it_up(state: str | None) -> None:
    """A success mark and a skip keep what is paid; a clear goes on with it."""
    assert not why_given_up(state, "running", [state, "failed", "success"])


def test_a_run_that_has_timed_out_gives_its_tasks_up() -> None:
    """Airflow skips them, and fails the run, though no task has failed."""
    assert why_given_up("skipped", "failed", ["success", "skipped", "skipped"]) == "the run has timed out"


@pytest.mark.parametrize("states", [("failed", "skipped"), ("upstream_failed", "skipped")])
def test_a_skip_by_fail_fast_keeps_the_batches_also_once_the_run_has_failed(states: tuple[str, ...]) -> None:
    assert not why_given_up("skipped", "failed", states)


def test_a_skip_in_a_run_that_goes_on_keeps_the_batches() -> None:
    assert not why_given_up("skipped", "running", ["skipped"])


@pytest.mark.parametrize("state", LIVE, ids=str)
def test_a_batch_that_a_live_task_instance_may_wait_for_is_not_cancelled(state: str | None) -> None:
    for is_sibling in (True, False):
        others = [Other("wait[1]", state, ["b"], is_sibling)]
        assert unclaimed(["a", "b"], others)[0] == ("a",)


def test_a_batch_that_a_sibling_has_succeeded_with_is_not_cancelled() -> None:
    cancels, notes = unclaimed(["a"], [Other("create[1]", "success", ["a"])])
    assert (cancels, notes) == (
        (),
        ("Batch a goes on and is billed: it may be used by create[1], which is success.",),
    )


def test_a_task_upstream_that_has_returned_a_batch_does_not_keep_it() -> None:
    """It is the task that made the batch, for the one that is killed."""
    assert unclaimed(["a"], [Other("create", "success", ["a"], is_sibling=False)])[0] == ("a",)


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "removed"])
def test_a_batch_of_a_sibling_that_is_given_up_too_is_cancelled(state: str) -> None:
    assert unclaimed(["a"], [Other("wait[1]", state, ["a"])]) == (("a",), ())


def test_the_log_says_what_becomes_of_batches_that_are_kept_and_what_to_do() -> None:
    line = kept("success", ["a", "b"])
    assert line.startswith("The task was marked success: its batches go on and are billed.")
    assert "KimiBatchResultsOperator lands them" in line
    assert "KimiCancelBatchOperator cancels them: a, b." in line
    assert kept("skipped", ["a"]).startswith("The task was skipped: its batches go on")
    assert kept("deferred", ["a"]).startswith("The task is deferred now: its batches go on")
    assert kept("failed", []) == "The task is failed now: nothing is cancelled."


def test_a_waiting_task_says_that_only_a_failed_mark_cancels() -> None:
    failed, other = marks_in_words(cancels=True)
    assert failed.startswith("Mark failed cancels these batches")
    assert other == "Mark success and clear cancel nothing: the batches go on and are billed."
    assert max(map(len, (failed, other))) < 90


def test_a_waiting_task_that_no_mark_reaches_promises_no_cancel() -> None:
    (said,) = marks_in_words(cancels=False)
    assert said == "Marks and clears of this task cancel nothing: its batches go on and are billed."
