"""When a task is to finish: as users and templates write it, and until when batches are waited for."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.jobs.deadline import CANCEL_MARGIN_SECONDS, Deadline, deadline_of, read_finish_by, too_late

BEGAN = datetime(2026, 12, 1, 1, 0, tzinfo=UTC)
SEVEN = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        SEVEN,
        pendulum.datetime(2026, 12, 1, 7),
        SEVEN.astimezone(timezone(timedelta(hours=8))),
        "2026-12-01T07:00:00+00:00",
        "2026-12-01T07:00:00Z",
        " 2026-12-01 15:00:00+08:00 ",
        timedelta(hours=6),
    ],
    ids=str,
)
def test_a_time_its_text_and_a_timedelta_from_the_start_of_the_run_are_one_deadline(given: Any) -> None:
    assert deadline_of(given, BEGAN.timestamp()) == Deadline(
        SEVEN.timestamp(), SEVEN.timestamp() - CANCEL_MARGIN_SECONDS
    )


@pytest.mark.parametrize("given", [None, "None"])
def test_no_time_is_no_deadline(given: object) -> None:
    assert deadline_of(given, BEGAN.timestamp()) is None


@pytest.mark.parametrize(
    "given",
    ["", "soon", "7", 7, True, "2026-12-01", "2026-12-01T07:00:00", datetime(2026, 12, 1), timedelta(0), -timedelta(1)],
    ids=repr,
)
def test_anything_else_is_refused_in_plain_words(given: object) -> None:
    with pytest.raises(KimiInputError, match=r"finish_by is .*; it must be a time with its zone.*Nothing was sent"):
        read_finish_by(given)


@given(began=st.floats(0, 4e9), seconds=st.floats(1, 1e7), now=st.floats(0, 4e9), taken=st.floats(0, 1e6))
def test_batches_are_waited_for_until_a_while_before_the_end(
    began: float, seconds: float, now: float, taken: float
) -> None:
    deadline = deadline_of(timedelta(seconds=seconds), began)
    assert deadline is not None
    assert began <= deadline.waits_until <= deadline.finish_by
    assert deadline.finish_by - deadline.waits_until <= CANCEL_MARGIN_SECONDS + 1e-3
    if deadline.lets_through(now, taken + 3):
        assert not deadline.is_over(now)


def test_a_time_before_the_start_of_the_run_is_over() -> None:
    deadline = deadline_of(BEGAN - timedelta(hours=1), BEGAN.timestamp())
    assert deadline is not None
    assert deadline.is_over(BEGAN.timestamp())
    assert "It is too late for finish_by=2026-12-01 00:00 UTC" in str(too_late(deadline))
