"""One read for all who look: begun only while somebody does, at a pace that fits the connection."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.waiting.pace import pause_after_faults

T = TypeVar("T")

#: How long a viewer waits for a read: of what is known already, and of what is not.
PATIENCE_SECONDS, FIRST_PATIENCE_SECONDS = 2.0, 30.0


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What is known, and since when.

    :param value: None before the first read that succeeded.
    :param at: When it was read, on the clock of the glance; None before that.
    :param error: Why the last read failed; empty if it did not.
    :param is_part: Whether it is what the first read has brought so far.
    """

    value: T | None = None
    at: float | None = None
    error: str = ""
    is_part: bool = False


class Glance(Generic[T]):
    """What all viewers see of one thing on the platform.

    :param read: Reads it.
    :param pause: Seconds from the end of a read to the next one, called after each read.
    """

    def __init__(
        self, read: Callable[[], Awaitable[T]], pause: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._read = read
        self._pause = pause
        self._clock = clock
        self._next_at = 0.0
        self._faults = 0
        self._running: asyncio.Task[None] | None = None
        self._part: asyncio.Future[None] | None = None
        self.seen: Seen[T] = Seen()

    async def look(self, patience: float | None = None) -> Seen[T]:
        """Return what is known, after a read if one is due or under way and does not take long.

        :param patience: Seconds to wait for a read; None for few of what is known already, and for more of what is not.
        :raises Exception: The read has failed otherwise than with an error of the platform.
        """
        if (self._running is None or self._running.done()) and self._clock() >= self._next_at:
            self._part = asyncio.get_running_loop().create_future()
            self._running = asyncio.create_task(self._refresh())
        if (running := self._running) is not None and self._part is not None:
            is_new = self.seen.at is None
            awaited: set[asyncio.Future[None]] = {running, self._part} if is_new else {running}
            usual = FIRST_PATIENCE_SECONDS if is_new else PATIENCE_SECONDS
            timeout = usual if patience is None else patience
            await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if running.done() and not running.cancelled():
                running.result()
        return self.seen

    def show(self, part: T) -> None:
        """Show what the first read has brought so far; a later one shows nothing before it is over."""
        if self.seen.at is not None and not self.seen.is_part:
            return
        self.seen = Seen(part, self._clock(), is_part=True)
        if self._part is not None and not self._part.done():
            self._part.set_result(None)

    def tell(self, error: KimiError) -> None:
        """Show why a read that goes on takes so long."""
        self.seen = replace(self.seen, error=str(error))

    def correct(self, change: Callable[[T], T]) -> None:
        """Take in what an act of a user has changed, until the next read."""
        if self.seen.value is not None:
            self.seen = replace(self.seen, value=change(self.seen.value))

    async def aclose(self) -> None:
        """End the read; whoever waits for it gets what is known."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _refresh(self) -> None:
        error: KimiError | None = None
        self._next_at = self._clock() + self._pause()  # also if the read fails in an unforeseen way
        try:
            value = await self._read()
        except KimiError as fault:
            error = fault
        self._faults = self._faults + 1 if error else 0
        retry_after = error.retry_after_seconds if error else None
        self._next_at = self._clock() + pause_after_faults(self._pause(), self._faults, retry_after)
        if error is not None:
            self.seen = replace(self.seen, is_part=False, error=str(error))
        else:
            self.seen = Seen(value, self._clock())
