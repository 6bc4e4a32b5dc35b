"""What is read of one connection, once for all who look, and only while somebody does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.batch_list import Walk
from airflow_provider_kimi.calls.patience import Patience, in_time, is_rate_limit
from airflow_provider_kimi.exceptions import KimiApiError, KimiConnectionConfigError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.hooks.lookup import looking_up
from airflow_provider_kimi.ui.airflow_records import Whose, read_whose
from airflow_provider_kimi.ui.batch_view import shown, view_of, views_of
from airflow_provider_kimi.ui.error_view import MOST_BYTES, errors_in
from airflow_provider_kimi.ui.glance import Glance
from airflow_provider_kimi.ui.holdings import PARTS, Holdings, nothing_yet
from airflow_provider_kimi.ui.single_reads import SingleReads
from airflow_provider_kimi.waiting.clock import clock_of
from airflow_provider_kimi.waiting.pace import seconds_per_request

T = TypeVar("T")

#: Shortest time between two reads of a list.
REFRESH_SECONDS = 10.0

#: How much more time a read is given than the connection's rate asks for: the rest is for the waits of tasks.
SHARE = 2.0

#: The same for batches and error files that are read alone, all together.
SINGLE_SHARE = 10.0

#: The same for what an account has.
HOLDINGS_SHARE = 10.0

#: Shortest time between two reads of whose batches are, while more batches come.
PART_SECONDS = 1.0

#: Shortest time between two reads of what an account has.
HOLDINGS_SECONDS = 60.0

#: Most batches that are shown.
MOST_BATCHES = 1000

#: Pauses without blocking.
Sleep = Callable[[float], Awaitable[object]]


class NoKimiConnectionError(Exception):
    """There is no connection of type `kimi` with this id; whether there is one of another type is not said."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(
            f"There is no Airflow connection {conn_id!r:.220} of type 'kimi'. Nothing was sent. Create it, or enter "
            "the id of another one."
        )


@dataclass(frozen=True)
class BatchList:
    """The batches of a connection, as they are shown and as they were read.

    :param batches: By their ids.
    :param views: The newest first.
    :param is_whole: Whether these are all batches of the account.
    """

    batches: dict[str, Batch]
    views: list[dict[str, Any]]
    is_whole: bool

    def find(self, shown_id: str) -> Batch | None:
        """Return the batch that is shown under an id."""
        return next((batch for batch in self.batches.values() if shown(batch.id) == shown_id), None)

    def with_batch(self, batch: Batch, now: float) -> "BatchList":
        """Replace a batch that was read since."""
        views = [view_of(batch, now) if view["id"] == shown(batch.id) else view for view in self.views]
        return replace(self, batches=self.batches | {batch.id: batch}, views=views)


class _Beginning(BytesIO):
    """Keeps the beginning of a file, and ends its download there."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > MOST_BYTES:
            raise _IsEnough
        return super().write(data)


class _IsEnough(Exception):
    """The rest of a file is not needed."""


class Account:
    """One connection that somebody looks at.

    :param hook: Of the connection.
    """

    def __init__(self, hook: KimiHook, clock: Callable[[], float], sleep: Sleep) -> None:
        self.hook = hook
        self._sleep = sleep
        self._pages = 0
        self._cancelled: dict[str, Batch] = {}
        self.batch_list = Glance(self._read_list, self._list_pause, clock)
        self.whose = Glance(self._read_whose, self._whose_pause, clock)
        self.holdings = Glance(self._read_holdings, self._holdings_pause, clock)
        self.single_reads = SingleReads(self._single_pause, clock, sleep)
        self._cancelling: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.is_read = False

    def cancelling(self, batch_id: str) -> asyncio.Lock:
        """Return what all hold who cancel a batch, so that it is cancelled once."""
        return self._cancelling.setdefault(batch_id, asyncio.Lock())

    def batch(self, batch_id: str) -> Glance[Batch | None]:
        """One batch that the list does not show; None if the account has none of this id."""
        return self.single_reads.of(
            f"batch {batch_id}",
            lambda: self._read_batch(batch_id),
            lambda batch: batch is not None and batch.is_terminal,
        )

    def errors(self, file_id: str) -> Glance[dict[str, Any]]:
        """What an error file says, which never changes."""
        return self.single_reads.of(f"errors {file_id}", lambda: self._read_errors(file_id), lambda _: True)

    def take(self, batch: Batch) -> None:
        """Show a batch as a cancel has left it, also where a read of the list is under way that may not know it yet."""
        now = clock_of(self.hook)()
        self._cancelled[batch.id] = batch
        self.batch_list.correct(lambda known: known.with_batch(batch, now) if batch.id in known.batches else known)
        self.batch(batch.id).correct(lambda _: batch)

    async def aclose(self) -> None:
        """End all reads, and give the client back."""
        for glance in (self.batch_list, self.whose, self.holdings):
            await glance.aclose()
        await self.single_reads.aclose()
        await self.hook.aclose()

    def _list_pause(self) -> float:
        per_request = seconds_per_request(self.hook.requests_per_minute, None)
        return max(REFRESH_SECONDS, SHARE * self._pages * per_request)

    async def _read_list(self) -> BatchList:
        await self._renew(self.hook)
        walk, self._pages = Walk(most=MOST_BATCHES), 0
        while not walk.is_over:
            walk.take(await self._page(walk.after))
            self._pages += 1
            if not walk.is_over:
                self.batch_list.show(await self._seen_by(walk))
        newer, self._cancelled = self._cancelled, {}
        return await self._seen_by(walk, newer)

    async def _seen_by(self, walk: Walk, newer: Mapping[str, Batch] = MappingProxyType({})) -> BatchList:
        """Show what a walk has seen.

        :param newer: Batches that were read since.
        """
        stale = {id for id in newer if id in walk.seen and walk.seen[id].is_cancellable}
        seen = walk.seen | {id: newer[id] for id in stale}
        views = await asyncio.to_thread(views_of, seen.values(), clock_of(self.hook)())
        return BatchList(seen, views[:MOST_BATCHES], walk.is_whole)

    def _single_pause(self) -> float:
        return SINGLE_SHARE * seconds_per_request(self.hook.requests_per_minute, None)

    async def _read_batch(self, batch_id: str) -> Batch | None:
        await self._renew(self.hook)
        try:
            return await in_time(self.hook.aget_batch(batch_id))
        except KimiApiError as error:
            if error.kind != "not_found":
                raise
            return None

    async def _read_errors(self, file_id: str) -> dict[str, Any]:
        content = _Beginning()

        def download() -> bool:
            try:
                KimiHook(self.hook.kimi_conn_id).download_file(file_id, content)
            except _IsEnough:
                return False
            return True

        is_whole = await in_time(asyncio.to_thread(download))
        return await asyncio.to_thread(errors_in, content.getvalue(), is_whole=is_whole)

    async def _page(self, after: str | None) -> BatchPage:
        return await self._patiently(lambda: self.hook.alist_batches(after=after), self.batch_list)

    async def _patiently(self, call: Callable[[], Awaitable[T]], glance: Glance[Any]) -> T:
        """Call, however long the platform has too many requests; what a read has seen before is not lost."""
        patience = Patience(self.hook)
        while True:
            try:
                return await in_time(call())
            except KimiError as error:
                pause = patience.pause_after(error) if is_rate_limit(error) else None
                if pause is None:
                    raise
                glance.tell(error)
                await self._sleep(pause)

    async def _read_whose(self) -> Whose:
        seen = self.batch_list.seen.value
        return await asyncio.to_thread(read_whose, seen.views if seen else ())

    def _whose_pause(self) -> float:
        return PART_SECONDS if self.batch_list.seen.is_part else REFRESH_SECONDS

    def _holdings_pause(self) -> float:
        seen = self.holdings.seen.value
        return max(HOLDINGS_SECONDS, HOLDINGS_SHARE * seen.seconds if seen else 0.0)

    async def _read_holdings(self) -> Holdings:
        hook = KimiHook(self.hook.kimi_conn_id)  # its own: calls that block are in a thread
        await self._renew(hook)
        found = nothing_yet(hook.settings)
        for name, read in PARTS.items():
            try:
                call = partial(asyncio.to_thread, read, hook)
                found = found.having(name, await self._patiently(call, self.holdings))
            except KimiError as error:
                found = found.lacking(name, str(error))
            self.holdings.show(found)
        return found

    async def _renew(self, hook: KimiHook) -> None:
        if not await in_time(asyncio.to_thread(_look_up, hook)):
            raise NoKimiConnectionError(hook.kimi_conn_id)
        self.is_read = True


def _look_up(hook: KimiHook) -> bool:
    """Read the connection anew, and say whether there is one of type `kimi`. Blocks."""
    hook.renew()
    try:
        with looking_up(hook.kimi_conn_id):
            conn_type = hook.get_connection(hook.kimi_conn_id).conn_type
    except KimiConnectionConfigError:
        return False
    if conn_type != KimiHook.conn_type:
        return False
    _ = hook.settings  # read here, off the event loop
    return True
