"""Calls that the platform carries out after a gateway has given up on them."""

import contextlib
import threading
from collections.abc import Callable

from airflow_provider_kimi.simulator.behaviour import Clock


class LateCalls:
    """What is still to be carried out, and when; nobody hears how it went. Safe to call from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[float, Callable[[], object]]] = []
        self._lock = threading.Lock()

    def add(self, seconds: float, act: Callable[[], object]) -> None:
        """Carry something out this many simulated seconds from now."""
        with self._lock:
            self._waiting.append((self._clock.now() + seconds, act))
            self._waiting.sort(key=lambda late: late[0])

    def carry_out(self) -> None:
        """Carry out what is due."""
        while (act := self._take()) is not None:
            with contextlib.suppress(Exception):
                act()

    def advance(self, seconds: float) -> None:
        """Move the clock forward, and stop on the way wherever something is due."""
        while (step := self._seconds_to_next()) is not None and step <= seconds:
            self._clock.advance(step)
            seconds -= step
            self.carry_out()
        self._clock.advance(seconds)

    def _take(self) -> Callable[[], object] | None:
        with self._lock:
            is_due = self._waiting and self._waiting[0][0] <= self._clock.now()
            return self._waiting.pop(0)[1] if is_due else None

    def _seconds_to_next(self) -> float | None:
        with self._lock:
            return max(self._waiting[0][0] - self._clock.now(), 0) if self._waiting else None
