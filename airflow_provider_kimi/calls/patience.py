"""Patience: how often and how long a call is tried. For reads, uploads, and a cancel, which do no harm twice."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import IO, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_kimi.api.models import Batch, RemoteFile
from airflow_provider_kimi.calls.stop import Stop
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Pauses between the attempts of one call that meets a passing fault, unless the platform asks for a longer one.
PAUSES_SECONDS = (1.0, 4.0, 15.0)

#: Pauses before a batch is read again that the platform does not know: a new one may be unknown for a while.
UNKNOWN_PAUSES_SECONDS = (2.0, 10.0, 30.0)

#: Longest time that the pauses of one call may take together, rate limits apart.
PATIENCE_SECONDS = 900.0

#: The same for rate limits. Where many tasks share a low limit, one call may be refused dozens of times.
RATE_LIMIT_PATIENCE_SECONDS = 14_400.0

#: Requests a minute of the platform's lowest tier, taken where the connection does not say.
LOWEST_REQUESTS_PER_MINUTE = 3.0

#: The same where the platform says itself how long to wait, and that is trusted.
TRUSTED_REQUESTS_PER_MINUTE = 60.0

#: Longest pause after a rate limit, unless the connection or the platform asks for a longer one.
LONGEST_BACKOFF_SECONDS = 60.0

#: Longest time for one call in an event loop, the lookup of the connection included.
MAX_CALL_SECONDS = 60.0


class Log(Protocol):
    """The part of a task's or a trigger's logger that we use, whichever kind the Airflow version has."""

    def info(self, event: str, *args: Any) -> Any:
        """Log what happened."""

    def warning(self, event: str, *args: Any) -> Any:
        """Log what is odd."""


def next_pause(
    error: KimiError, attempt: int, elapsed: float, requests_per_minute: float | None, jitter: float = 0.0
) -> float | None:
    """Say how long to pause before a call that met a passing fault is sent again; None for not again.

    A call that is refused because of too many requests gets through in the end: it waits at least as long as one
    request takes at that rate, then twice as long each time, up to a minute. Other faults are given three pauses.

    :param attempt: How many faults of this kind the call has met before.
    :param elapsed: Seconds that it has paused after these.
    :param requests_per_minute: What the connection allows; None if it does not say.
    :param jitter: 0 to 1: how much of a further half is added, so that tasks which were refused together part.
    """
    if is_rate_limit(error):
        least = 60 / (requests_per_minute or LOWEST_REQUESTS_PER_MINUTE)
        backoff = max(least, PAUSES_SECONDS[0]) * 2 ** min(attempt, 10)
        pause = max(min(backoff, LONGEST_BACKOFF_SECONDS), least, error.retry_after_seconds or 0.0) * (1 + jitter / 2)
        return pause if elapsed + pause <= RATE_LIMIT_PATIENCE_SECONDS else None
    if attempt < len(PAUSES_SECONDS):
        pause = max(PAUSES_SECONDS[attempt], error.retry_after_seconds or 0.0)
    else:
        return None
    return pause if elapsed + pause <= PATIENCE_SECONDS else None


def is_rate_limit(error: KimiError) -> bool:
    """Whether an error says that too many requests were sent, or that the platform is overloaded."""
    return isinstance(error, KimiApiError) and error.status_code == 429 and error.retryable


class Patience:
    """The patience with one call: it counts the faults, and says how long to pause after each.

    :param hook: Knows how many requests a minute its connection allows, once that was read.
    :param jitter: Returns 0 to 1.
    :param trusts_retry_after: Whether a pause that the platform asks for is enough where the connection does not say
        how many requests a minute it allows.
    """

    def __init__(
        self, hook: KimiHook, jitter: Callable[[], float] = random.random, *, trusts_retry_after: bool = False
    ) -> None:
        self._hook = hook
        self._jitter = jitter
        self._trusts_retry_after = trusts_retry_after
        self._met = {True: 0, False: 0}  # by whether it was a rate limit
        self._elapsed = {True: 0.0, False: 0.0}

    def pause_after(self, error: KimiError, *, may_pass: bool | None = None) -> float | None:
        """Return how long to pause before the call is sent again; None if it is not to be sent again.

        :param may_pass: Whether the fault may pass; None for what the error itself says.
        """
        if not (error.retryable if may_pass is None else may_pass):
            return None
        kind, rate = is_rate_limit(error), self._hook.requests_per_minute
        if self._trusts_retry_after and error.retry_after_seconds is not None:
            rate = rate or TRUSTED_REQUESTS_PER_MINUTE
        pause = next_pause(error, self._met[kind], self._elapsed[kind], rate, self._jitter())
        self._met[kind] += 1
        self._elapsed[kind] += pause or 0.0
        return pause


@dataclass(frozen=True)
class Calls:
    """How a worker calls the platform: over which connection, with which log, and how it pauses.

    :param is_patient: Whether a call that meets a fault is sent again.
    :param stop: Whether the task is being ended; it then starts nothing that costs money.
    """

    hook: KimiHook
    log: Log
    sleep: Callable[[float], None] = time.sleep
    stop: Stop = field(default_factory=Stop)
    jitter: Callable[[], float] = random.random
    is_patient: bool = True

    def now(self) -> float:
        """Unix seconds by the platform's clock, as far as its answers show it."""
        return time.time() + (self.hook.clock_skew_seconds or 0.0)

    def patience(self) -> Patience:
        """Return a new patience, for one call."""
        return Patience(self.hook, self.jitter)

    def read(self, call: Callable[[], T]) -> T:
        """Repeat a call until it succeeds; raise its fault if that is permanent, or the patience is used up."""
        patience = self.patience()
        while True:
            try:
                return call()
            except KimiError as error:
                pause = patience.pause_after(error) if self.is_patient else None
                if pause is None:
                    raise
                self.pause_after(error, pause)

    def read_batch(self, batch_id: str) -> Batch:
        """Read a batch; one that the platform does not know is asked for again for a while, since it may be new. It is
        not where the platform asks for a pause beyond our patience.
        """
        for pause in UNKNOWN_PAUSES_SECONDS:
            try:
                return self.read(lambda: self.hook.get_batch(batch_id))
            except KimiApiError as error:
                if error.status_code != 404 or (error.retry_after_seconds or 0.0) > PATIENCE_SECONDS:
                    raise
                self.pause_after(error, pause)
        return self.read(lambda: self.hook.get_batch(batch_id))

    def upload(self, content: IO[bytes], filename: str, purpose: str = "batch") -> RemoteFile:
        """Upload an open file as patiently as a read, each time from its start.

        If an answer is lost, the platform may hold the file twice, which costs nothing but room.
        """

        def send() -> RemoteFile:
            content.seek(0)
            return self.hook.upload_file(content, filename, purpose)

        return self.read(send)

    def pause_after(self, error: KimiError, seconds: float) -> None:
        """Log a fault, and pause before its call is sent again: this long, or as long as the platform asked."""
        seconds = max(seconds, error.retry_after_seconds or 0.0)
        self.log.warning("%s Trying again in %g s.", error, round(seconds, 1))
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
