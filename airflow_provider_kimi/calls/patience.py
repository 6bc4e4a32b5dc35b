"""Calls that are worth repeating: reads, and a cancel, which does no harm twice. Never a create as such."""

import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_kimi.calls.log import Log
from airflow_provider_kimi.exceptions import KimiApiError, KimiError

T = TypeVar("T")

#: Pauses between the attempts of one read, unless the platform asks for a longer one.
PAUSES_SECONDS = (1.0, 4.0, 15.0)

#: Longest pause taken while a worker slot is held, whatever the platform asks.
MAX_PAUSE_SECONDS = 120.0


def read_patiently(read: Callable[[], T], log: Log, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call `read` until it succeeds, a fault is permanent, or the pauses are used up.

    :raises KimiError: The last fault.
    """
    for pause in PAUSES_SECONDS:
        try:
            return read()
        except KimiError as error:
            if not error.retryable:
                raise
            pause_after(error, pause, log, sleep)
    return read()


def pause_after(error: KimiError, seconds: float, log: Log, sleep: Callable[[float], None]) -> None:
    """Wait before a call is made again: so long, or as long as the platform asked."""
    asked = error.retry_after_seconds if isinstance(error, KimiApiError) else None
    seconds = min(max(seconds, asked or 0.0), MAX_PAUSE_SECONDS)
    log.warning("%s Trying again in %g s.", error, seconds)
    sleep(seconds)
