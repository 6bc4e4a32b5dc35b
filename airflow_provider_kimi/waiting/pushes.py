"""Pushes: waits show how far they are, one at a time, in a thread, and seldom where an XCom backend is slow."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

#: How many times as long as a push has taken the next one waits, of whichever wait, and the longest such pause.
PAUSE_TIMES = 4.0
LONGEST_PAUSE_SECONDS = 900.0

#: How long a push may take before that is logged.
SLOW_SECONDS = 60.0

TOO_SLOW = (
    "The XCom backend has taken %g s for the progress of a wait and goes on, so that of other waits is not shown. The "
    'waits themselves go on. If this lasts, set progress=False, or "progress": false in the connection\'s extra.'
)

_log = logging.getLogger(__name__)


def pause_after(took: float) -> float:
    """Say how long to pause after a push that has taken so many seconds."""
    return min(took * PAUSE_TIMES, LONGEST_PAUSE_SECONDS)


class Pushes:
    """What the waits of one event loop still have to show.

    A push has a task of its own, which no trigger cancels: Airflow 3.0 and 3.1 would give the answer to somebody else.

    :param slow_seconds: How long a push may take before the log says that nothing is shown meanwhile.
    """

    def __init__(self, slow_seconds: float = SLOW_SECONDS) -> None:
        self._slow_seconds = slow_seconds
        self._newest: dict[object, tuple[Context, Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def put(self, wait: object, push: Callable[[], None]) -> None:
        """Call this for a wait when it is its turn; what the wait still had to show is dropped.

        :param push: It may block, and is called in a thread, in the context of now.
        """
        self._newest[wait] = copy_context(), push
        if self._task is None:
            self._task = asyncio.create_task(self._push_all(), name="kimi-progress", context=Context())

    def drop(self, wait: object) -> None:
        """Show nothing more of a wait."""
        self._newest.pop(wait, None)

    async def _push_all(self) -> None:
        try:
            while self._newest:
                context, push = self._newest.pop(next(iter(self._newest)))
                begun = monotonic()
                await self._push(context, push)
                await asyncio.sleep(pause_after(monotonic() - begun))
        finally:
            self._task = None

    async def _push(self, context: Context, push: Callable[[], None]) -> None:
        """Push once; that it fails is no matter, since no batch depends on it."""
        own_thread: Any = _OwnThread()
        in_thread = sync_to_async(push, thread_sensitive=False, executor=own_thread)
        running = asyncio.create_task(in_thread(), context=context)
        if not (await asyncio.wait({running}, timeout=self._slow_seconds))[0]:
            _log.warning(TOO_SLOW, self._slow_seconds)
            await asyncio.wait({running})
        if not running.cancelled() and (error := running.exception()) is not None:
            _log.debug("The progress of a wait was not pushed: %s", error)


class _OwnThread(Executor):
    """Runs a call in a thread that nothing waits for when the process ends, as it would for those of a pool."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                result = call(*args, **kwargs)
            except BaseException as error:  # a backend that exits ends no triggerer
                future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
            else:
                future.set_result(result)

        threading.Thread(target=run, name="kimi-progress", daemon=True).start()
        return future


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Pushes] = WeakKeyDictionary()


def pushes_here() -> Pushes:
    """Return what the running event loop has to push."""
    return _of_loops.setdefault(asyncio.get_running_loop(), Pushes())
