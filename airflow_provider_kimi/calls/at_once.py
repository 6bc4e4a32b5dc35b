"""At once: how many of a triggerer's waits may do the same thing at a time."""

import asyncio
from weakref import WeakKeyDictionary


class AtOnce:
    """A bound that holds in each event loop.

    :param most: How many at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def turn(self) -> asyncio.Semaphore:
        """Return what to hold meanwhile."""
        return self._of_loops.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._most))
