"""A task that Airflow kills: a signal interrupts it, and its handler calls `on_kill`, as a task's process does."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def killed_once(task: Any, condition: Callable[[], bool], pause: float = 0.01) -> Iterator[None]:
    """Send SIGTERM to this process as soon as a condition holds; the block is interrupted, and goes on."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(pause):
            if condition():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGTERM, before)
