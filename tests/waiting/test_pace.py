"""How soon to poll again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.waiting.pace import (
    FIRST_POLL_SECONDS,
    MAX_FAULT_PAUSE_SECONDS,
    first_pause,
    pause_after_faults,
    pause_between_polls,
    seconds_per_request,
)
from tests.support.samples import ACTIVE, make_batch

NOW = 1_757_000_000
MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("age", "window", "seconds"),
    [
        pytest.param(0, DAY, 10, id="young"),
        pytest.param(5 * MINUTE, DAY, 10, id="five minutes"),
        pytest.param(20 * MINUTE, DAY, 40, id="twenty minutes"),
        pytest.param(30 * MINUTE, DAY, 60, id="half an hour"),
        pytest.param(20 * HOUR, DAY, 60, id="nearly a day"),
        pytest.param(20 * HOUR, 12 * HOUR, 60, id="a short window"),
        pytest.param(20 * HOUR, 7 * DAY, 420, id="a window of a week"),
    ],
)
def test_the_pause_grows_with_the_age_of_a_batch(age: int, window: int, seconds: float) -> None:
    batch = make_batch(created_at=NOW - age, expires_at=NOW - age + window)
    assert pause_between_polls(batch, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("done", "seconds"),
    [
        pytest.param(0, 60, id="nothing done: no guess"),
        pytest.param(500, 60, id="half done"),
        pytest.param(980, 36.7, id="over in a minute"),
        pytest.param(999, 10, id="nearly done"),
        pytest.param(1000, 10, id="all done"),
    ],
)
def test_the_pause_shrinks_near_the_end_of_a_batch(done: int, seconds: float) -> None:
    batch = make_batch(
        created_at=NOW - HOUR,
        in_progress_at=NOW - HOUR,
        expires_at=NOW - HOUR + DAY,
        request_counts=RequestCounts(1000, done),
    )
    assert pause_between_polls(batch, NOW) == pytest.approx(seconds, abs=0.1)


def test_a_batch_that_never_ends_is_not_polled_ever_faster() -> None:
    batch = make_batch(created_at=NOW - 11 * HOUR, expires_at=NOW + DAY, request_counts=RequestCounts(1000, 1000))
    assert pause_between_polls(batch, NOW) > 35


def test_a_batch_that_assembles_its_results_for_long_is_polled_less_often() -> None:
    def pause(seconds: int) -> float:
        batch = make_batch("finalizing", created_at=NOW - 2 * HOUR, finalizing_at=NOW - seconds)
        return pause_between_polls(batch, NOW)

    assert pause(30) == pytest.approx(10)
    assert pause(2 * HOUR) == pytest.approx(60)


def test_a_batch_that_was_not_read_yet_is_polled_soon() -> None:
    assert pause_between_polls(None, NOW) == pause_between_polls(make_batch(), NOW) == 10


def test_the_first_poll_leaves_time_for_the_deferring_process_to_end() -> None:
    """An event that fires at once overtakes it."""
    assert first_pause(None) == 10
    assert first_pause(0.1) == FIRST_POLL_SECONDS >= 5.0
    assert first_pause(60) == 60


@pytest.mark.parametrize(
    ("faults", "asked", "seconds"),
    [
        pytest.param(0, None, 30, id="none"),
        pytest.param(1, None, 30, id="one"),
        pytest.param(2, None, 60, id="two"),
        pytest.param(20, None, 150, id="many"),
        pytest.param(10_000, None, 150, id="days of them"),
        pytest.param(1, 0.0, 30, id="nothing to wait"),
        pytest.param(1, 90.0, 90, id="the platform asks for more"),
        pytest.param(0, 90.0, 90, id="it asks beside an answer"),
        pytest.param(1, 86_400.0, 900, id="a day, which would sleep through the end of the batch"),
        pytest.param(1, float("inf"), 900, id="for ever"),
    ],
)
def test_faults_make_the_pause_longer(faults: int, asked: float | None, seconds: float) -> None:
    assert pause_after_faults(30, faults, asked) == seconds


def test_a_pause_of_the_user_that_is_longer_than_any_of_ours_is_kept() -> None:
    assert pause_after_faults(3600, 50, 86_400.0) == 3600
    assert pause_after_faults(90, 50, None) == MAX_FAULT_PAUSE_SECONDS


def test_without_a_rate_on_the_connection_our_pace_keeps_to_the_lowest_tier_and_the_users_does_not() -> None:
    assert seconds_per_request(None, None) == 20
    assert seconds_per_request(None, 5.0) == 0
    assert seconds_per_request(60, None) == seconds_per_request(60, 5.0) == 1


@given(
    status=st.sampled_from(ACTIVE),
    age=st.integers(-100, 10 * DAY),
    since=st.integers(0, 10 * DAY),
    window=st.integers(12 * HOUR, 7 * DAY),
    counts=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
def test_the_pause_is_never_shorter_than_ten_seconds_nor_longer_than_a_minute_a_day(
    status: str, age: int, since: int, window: int, counts: tuple[int, int]
) -> None:
    times: dict[str, Any] = {"in_progress_at": NOW - since, "finalizing_at": NOW - since, "cancelling_at": NOW - since}
    created = NOW - age
    batch = make_batch(
        status, created_at=created, expires_at=created + window, request_counts=RequestCounts(*counts), **times
    )
    assert 10 <= pause_between_polls(batch, NOW) <= max(60, 60 * window / DAY) + 1e-6
