"""The batches of each connection, read once for all who look, and only while somebody does."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_kimi.api.models import BatchPage
from airflow_provider_kimi.calls.batch_list import Walk
from airflow_provider_kimi.calls.patience import Patience, in_time, is_rate_limit
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.hooks.lookup import looking_up
from airflow_provider_kimi.ui.batch_view import views_of
from airflow_provider_kimi.waiting.clock import clock_of
from airflow_provider_kimi.waiting.pace import pause_after_faults, seconds_per_request

#: Shortest time between two reads of a list.
REFRESH_SECONDS = 10.0

#: How much more time a read is given than the connection's rate asks for: the rest is for the waits of tasks.
SHARE = 2.0

#: Most batches that are shown.
MOST_BATCHES = 1000

#: How long a viewer waits for a read: of a list that is known already, and of one that is not.
PATIENCE_SECONDS, FIRST_PATIENCE_SECONDS = 2.0, 30.0

#: Pauses without blocking.
Sleep = Callable[[float], Awaitable[object]]

#: Ids of connections that are looked up at all; others may mean something to a secrets backend.
_CONN_ID = re.compile(r"(?!.*\.\.)[\w][\w.-]{0,199}")


class NoKimiConnectionError(KimiConnectionConfigError):
    """There is no connection of type `kimi` with this id; whether there is one of another type is not said."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(
            f"There is no Airflow connection {conn_id!r:.220} of type 'kimi'. Nothing was sent. Create it, or enter "
            "the id of another one."
        )


@dataclass(frozen=True)
class Seen:
    """What is known of the batches of a connection.

    :param at: When they were read, on the clock of the lists; None before the first time.
    :param is_whole: Whether these are all batches of the account.
    :param error: Why the last read failed; empty if it did not.
    """

    batches: list[dict[str, Any]] = field(default_factory=list)
    at: float | None = None
    is_whole: bool = True
    error: str = ""


class _List:
    """The batches of one connection: one read at a time, at a pace that fits the connection.

    :param hook: Of the connection.
    """

    def __init__(self, hook: KimiHook, clock: Callable[[], float], sleep: Sleep) -> None:
        self._hook = hook
        self._clock = clock
        self._sleep = sleep
        self._next_at = 0.0
        self._faults = 0
        self._read: asyncio.Task[None] | None = None
        self.seen = Seen()

    async def look(self) -> Seen:
        """Return what is known, after a read if one is due or under way and does not take long."""
        if (self._read is None or self._read.done()) and self._clock() >= self._next_at:
            self._read = asyncio.create_task(self._refresh())
        if (read := self._read) is not None:
            is_known = self.seen.at is not None
            await asyncio.wait({read}, timeout=PATIENCE_SECONDS if is_known else FIRST_PATIENCE_SECONDS)
            if read.done():
                read.result()
        return self.seen

    async def aclose(self) -> None:
        """End the read, and give the client back."""
        if self._read is not None:
            self._read.cancel()
            await asyncio.wait({self._read})
        await self._hook.aclose()

    async def _refresh(self) -> None:
        walk, pages = Walk(most=MOST_BATCHES), 0
        error: KimiError | None = None
        try:
            await in_time(asyncio.to_thread(self._look_up))
            while not walk.is_over:
                walk.take(await self._page(walk.after))
                pages += 1
        except KimiError as fault:
            if isinstance(fault, NoKimiConnectionError) and self.seen.at is None:
                raise
            error = fault
        pause = max(REFRESH_SECONDS, SHARE * pages * seconds_per_request(self._hook.requests_per_minute, None))
        self._faults = self._faults + 1 if error else 0
        retry_after = error.retry_after_seconds if error else None
        self._next_at = self._clock() + pause_after_faults(pause, self._faults, retry_after)
        if error is not None:
            self.seen = replace(self.seen, error=str(error))
        else:
            batches = await asyncio.to_thread(views_of, walk.seen.values(), clock_of(self._hook)())
            self.seen = Seen(batches[:MOST_BATCHES], self._clock(), walk.is_whole)

    async def _page(self, after: str | None) -> BatchPage:
        """Read a page, however long the platform has too many requests; what the walk has seen is not lost."""
        patience = Patience(self._hook)
        while True:
            try:
                return await in_time(self._hook.alist_batches(after=after))
            except KimiError as error:
                pause = patience.pause_after(error) if is_rate_limit(error) else None
                if pause is None:
                    raise
                self.seen = replace(self.seen, error=str(error))
                await self._sleep(pause)

    def _look_up(self) -> None:
        """Read the connection anew. Blocks."""
        conn_id = self._hook.kimi_conn_id
        self._hook.renew()
        try:
            with looking_up(conn_id):
                conn_type = self._hook.get_connection(conn_id).conn_type
        except KimiConnectionConfigError:
            raise NoKimiConnectionError(conn_id) from None
        if conn_type != KimiHook.conn_type:
            raise NoKimiConnectionError(conn_id)
        _ = self._hook.settings  # read here, off the event loop


class BatchLists:
    """The lists of all connections that somebody looks at, in one process of the API server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lists: dict[str, _List] = {}

    async def look(self, conn_id: str) -> Seen:
        """Return the batches of a connection.

        :raises NoKimiConnectionError: There is none of type `kimi` with this id.
        """
        if _CONN_ID.fullmatch(conn_id) is None:
            raise NoKimiConnectionError(conn_id)
        of_connection = self._lists.setdefault(conn_id, _List(KimiHook(conn_id), self._clock, self._sleep))
        try:
            return await of_connection.look()
        except NoKimiConnectionError:
            if self._lists.get(conn_id) is of_connection:
                del self._lists[conn_id]
            raise

    def age_of(self, seen: Seen) -> float | None:
        """Seconds since the batches were read; None if they never were."""
        return None if seen.at is None else self._clock() - seen.at

    async def aclose(self) -> None:
        """Give all clients back."""
        lists, self._lists = self._lists, {}
        for of_connection in lists.values():
            await of_connection.aclose()
