"""Reads of single things that no list shows: few are kept, and whoever asks for whatever, they are rare and in turn."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from airflow_provider_kimi.ui.glance import Glance

T = TypeVar("T")

#: How many are kept: those that somebody has looked at last.
MOST_KEPT = 100


class SingleReads:
    """What is read alone of one account.

    :param pause: Seconds from one read to the next, whatever they are of.
    :param clock: Seconds that only grow.
    :param sleep: Pauses without blocking.
    """

    def __init__(
        self,
        pause: Callable[[], float],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._pause = pause
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._next_at = 0.0
        self._kept: OrderedDict[str, Glance[Any]] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    def of(self, name: str, read: Callable[[], Awaitable[T]], is_final: Callable[[T], bool]) -> Glance[T]:
        """Return what all see of a thing.

        :param read: Reads it.
        :param is_final: Whether what was read never changes, so that it is not read again.
        """
        if name not in self._kept:
            self._kept[name] = self._new(read, is_final)
            if len(self._kept) > MOST_KEPT:
                _, oldest = self._kept.popitem(last=False)
                ending = asyncio.create_task(oldest.aclose())
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
        self._kept.move_to_end(name)
        return self._kept[name]

    async def aclose(self) -> None:
        """End all reads."""
        for glance in self._kept.values():
            await glance.aclose()
        await asyncio.gather(*self._ending)

    def _new(self, read: Callable[[], Awaitable[T]], is_final: Callable[[T], bool]) -> Glance[T]:
        is_over = False

        async def read_in_turn() -> T:
            nonlocal is_over
            async with self._turn:
                if (early := self._next_at - self._clock()) > 0:
                    await self._sleep(early)
                try:
                    found = await read()
                finally:
                    self._next_at = self._clock() + self._pause()
            is_over = is_final(found)
            return found

        return Glance(read_in_turn, lambda: float("inf") if is_over else self._pause(), self._clock)
