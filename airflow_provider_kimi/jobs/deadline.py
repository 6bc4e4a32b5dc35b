"""When a task is to finish, and until when it waits for batches because of that."""

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec

from airflow_provider_kimi.api.standing import as_clock
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.fields import said

#: How long before its end a task stops waiting for batches: a cancel was seen to take 25 minutes.
CANCEL_MARGIN_SECONDS = 1800.0

#: How much earlier than planned a wait may end, since it goes by the platform's clock, which is known to a second.
CLOCK_SLACK_SECONDS = 2.0

#: The most of the task's time that this may be.
CANCEL_MARGIN_SHARE = 0.25


@dataclass(frozen=True)
class Deadline:
    """When a task is to finish, in unix seconds.

    :param waits_until: When the wait for batches ends: what runs then is cancelled.
    """

    finish_by: float
    waits_until: float

    @classmethod
    def of(cls, stored: Mapping[str, float]) -> Self:
        """Read what a deferral has kept. What a later version adds is ignored."""
        return msgspec.convert(stored, cls)

    def is_over(self, now: float) -> bool:
        """Whether no batch is waited for any more."""
        return now >= self.waits_until - CLOCK_SLACK_SECONDS

    def lets_through(self, now: float, seconds: float) -> bool:
        """Whether a batch that takes so long ends in time."""
        return now + seconds <= self.waits_until

    def __str__(self) -> str:
        return f"finish_by={as_clock(self.finish_by)}"


def read_finish_by(given: object) -> datetime | timedelta | None:
    """Read when a task is to finish: a time with its zone, its text in ISO 8601, or a timedelta; None for no such time.

    :raises KimiInputError: It is something else.
    """
    when: Any = said(given)
    if isinstance(when, str):
        with suppress(ValueError):
            when = datetime.fromisoformat(when.strip())
    if when is None or (isinstance(when, datetime) and when.tzinfo is not None):
        return when
    if isinstance(when, timedelta) and when > timedelta():
        return when
    raise KimiInputError(
        f"finish_by is {reprlib.repr(given)}; it must be a time with its zone, such as "
        "'2026-12-01T07:00:00+00:00' or '{{ data_interval_end.add(hours=6) }}', or a timedelta above zero, which "
        "counts from the start of the run. Nothing was sent."
    )


def deadline_of(given: object, started: float) -> Deadline | None:
    """The deadline of a task; None if it has none.

    :param given: As `read_finish_by` takes it.
    :param started: When the run began, in unix seconds.
    :raises KimiInputError: It is not a time.
    """
    when = read_finish_by(given)
    if when is None:
        return None
    end = started + when.total_seconds() if isinstance(when, timedelta) else when.timestamp()
    margin = min(CANCEL_MARGIN_SECONDS, CANCEL_MARGIN_SHARE * max(end - started, 0.0))
    return Deadline(end, end - margin)


def too_late(deadline: Deadline) -> KimiInputError:
    """Refuse to submit what no batch can finish in time."""
    return KimiInputError(
        f"It is too late for {deadline}: batches are waited for until {as_clock(deadline.waits_until)} only. No "
        "batch was created by this attempt. Set a later finish_by, then clear this task."
    )
