"""Patience: how often and how long a call is tried. For reads, and for a cancel, which does no harm twice."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_kimi.calls.stop import Stop
from airflow_provider_kimi.exceptions import KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Pauses between the attempts of one read, unless the platform asks for a longer one.
PAUSES_SECONDS = (1.0, 4.0, 15.0)

#: Longest pause while a worker slot is held, whatever the platform asks.
MAX_PAUSE_SECONDS = 120.0

#: Longest time for one call in an event loop, the lookup of the connection included.
MAX_CALL_SECONDS = 60.0


class Log(Protocol):
    """The part of a task's or a trigger's logger that we use, whichever kind the Airflow version has."""

    def info(self, event: str, *args: Any) -> Any:
        """Log what happened."""

    def warning(self, event: str, *args: Any) -> Any:
        """Log what is odd."""


@dataclass(frozen=True)
class Calls:
    """How a worker calls the platform: over which connection, with which log, and how it pauses.

    :param stop: Whether the task is being ended; it then starts nothing that costs money.
    """

    hook: KimiHook
    log: Log
    sleep: Callable[[float], None] = time.sleep
    stop: Stop = field(default_factory=Stop)

    def read(self, call: Callable[[], T]) -> T:
        """Repeat a call until it succeeds; raise its fault if that is permanent, or the pauses are used up."""
        for pause in PAUSES_SECONDS:
            try:
                return call()
            except KimiError as error:
                if not error.retryable:
                    raise
                self.pause_after(error, pause)
        return call()

    def pause_after(self, error: KimiError, seconds: float) -> None:
        """Pause before a call is repeated: this long, or as long as the platform asked."""
        seconds = min(max(seconds, error.retry_after_seconds or 0.0), MAX_PAUSE_SECONDS)
        self.log.warning("%s Trying again in %g s.", error, seconds)
        self.sleep(seconds)


async def in_time(call: Awaitable[T], otherwise: str = "Batches go on as they were.") -> T:
    """Bound a call as a whole: the client's own timeout restarts with every byte, and a lookup has none.

    Any other error counts as an answer that did not come, which passes.

    :param otherwise: What is true of the batches if the call does not end in time.
    """
    try:
        async with asyncio.timeout(MAX_CALL_SECONDS):
            return await call
    except TimeoutError:
        raise KimiNoAnswerError(
            f"A call about batches took longer than {MAX_CALL_SECONDS:g} s. {otherwise} "
            "Check the network, and Airflow's API server, if this lasts."
        ) from None
    except KimiError:
        raise
    except Exception as error:  # it must not end a wait for work that is paid
        _log.exception("A call about batches failed in an unforeseen way")
        raise KimiNoAnswerError(
            f"A call about batches failed in an unforeseen way ({type(error).__name__}). {otherwise} The log of this "
            "process has the details; report them if this lasts."
        ) from None


class AtOnce:
    """How many of a triggerer's waits may do the same thing at a time; holds in each event loop.

    :param most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def turn(self) -> asyncio.Semaphore:
        """Return what to hold meanwhile."""
        return self._of_loops.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._most))
