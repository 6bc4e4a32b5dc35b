"""The peak of this process's memory while one call runs, and the time it takes."""

import gc
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """One call: its seconds, and the resident memory before it and at its peak, in bytes."""

    seconds: float
    before: int
    peak: int

    @property
    def growth(self) -> int:
        """What the call needed on top of what the process had."""
        return self.peak - self.before


def measure(call: Callable[[], object]) -> Measured:
    """Run a call. Garbage of what ran before is collected first, so that it is not reused unseen."""
    gc.collect()
    _forget_peak()
    before = _peak()
    started = time.perf_counter()
    call()
    seconds = time.perf_counter() - started
    return Measured(seconds, before, _peak())


def _forget_peak() -> None:
    """Set the kernel's high-water mark back to what is resident now.

    Where that cannot be done (not Linux, a read-only /proc) the mark of earlier work stays, and growth below it is not
    seen.
    """
    with suppress(OSError):
        _CLEAR.write_text("5")


def _peak() -> int:
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
