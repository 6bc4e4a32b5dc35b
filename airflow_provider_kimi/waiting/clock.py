"""The clock that waits go by: the platform's, as far as its answers tell it.

A machine whose clock is wrong must not cancel a batch that has hours left. So deadlines and the times of batches are
compared on the platform's clock, also where the machine that stored a deadline is not the one that reads it.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from msgspec.structs import replace

from airflow_provider_kimi.records.mark import CLOCK_MARGIN_SECONDS
from airflow_provider_kimi.records.watch import Watch

_BEGAN = time.time() - time.monotonic()


class Clocked(Protocol):
    """A platform that says what time it is there."""

    @property
    def clock_skew_seconds(self) -> float | None:
        """Seconds by which its clock is ahead of this machine's; None while that is not known."""


def skew_of(platform: Clocked) -> float:
    """Seconds by which the platform's clock is ahead; zero where both agree within the margin, or that is not known."""
    skew = platform.clock_skew_seconds or 0.0
    return skew if abs(skew) > CLOCK_MARGIN_SECONDS else 0.0


def clock_of(platform: Clocked) -> Callable[[], float]:
    """Return the platform's clock, in unix seconds."""
    return lambda: time.time() + skew_of(platform)


def steady_now() -> float:
    """Return this machine's clock in unix seconds, as if nobody had set it since the process began."""
    return _BEGAN + time.monotonic()


def ahead_of_steady(platform: Clocked) -> float:
    """Seconds by which the platform's clock is ahead of `steady_now`."""
    return clock_of(platform)() - steady_now()


def by_platform(watch: Watch, skew: float, *, is_own: bool) -> Watch:
    """Set the deadline by the platform's clock.

    :param skew: Seconds by which that is ahead of this machine's.
    :param is_own: Whether this machine's clock has set the deadline; else the later one counts.
    """
    if watch.deadline is None:
        return watch
    shift = skew if is_own else max(skew, 0.0)
    look_at = None if watch.look_at is None else watch.look_at + shift
    return replace(watch, deadline=watch.deadline + shift, look_at=look_at)


def skew_in_words(skew: float) -> str:
    """Say that this machine's clock is wrong; empty where it is not."""
    if not skew:
        return ""
    which = "behind" if skew > 0 else "ahead of"
    return (
        f"The clock of this machine is {timedelta(seconds=round(abs(skew)))} {which} the platform's (Date header). The "
        "wait keeps to the platform's. Set the machine's clock."
    )
