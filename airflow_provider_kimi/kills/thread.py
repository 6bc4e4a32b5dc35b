"""The thread of a kill: a worker deals with its batches beside the code that the kill interrupts."""

import threading
from collections.abc import Callable
from typing import Self

from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.kills.cancels import KILL_SECONDS


class Kill:
    """What a worker does about its batches once Airflow kills its task: in a thread, beside the interrupted code.

    Airflow 3 calls `on_kill` from a signal handler in the main thread, goes on with the interrupted code, and ends the
    process 5 seconds later. Airflow 2 raises an error in that code afterwards. A handler that did the work itself would
    wait for locks that the interrupted code holds, find modules half imported, and keep that code from the answer of a
    create that is on its way.

    It is entered while the task's own code runs.

    :param work: Deals with the batches. It gets this, to know whether the task's own code is over.
    """

    def __init__(self, work: Callable[["Kill"], None], log: Log) -> None:
        self._work = work
        self._log = log
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The task's own code is over: let what has begun come to its end."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(KILL_SECONDS)

    def begin(self) -> None:
        """Begin, once; where the task's own code is over already, wait for the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kimi-kill", daemon=True)
            self._thread.start()
        if self._over.is_set():
            self._thread.join(KILL_SECONDS)

    def is_over(self, seconds: float) -> bool:
        """Wait this long for the end of the task's own code; whether it has come."""
        return self._over.wait(seconds)

    def _run(self) -> None:
        try:
            self._work(self)
        except Exception as error:  # whatever Airflow or a library raises: it must be in the log
            self._log.warning(
                "Not all batches of this task were dealt with; what runs goes on and is billed: %s", error
            )
