"""What is read of each connection, once for all who look, and only while somebody does."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Any, TypeVar

from airflow_provider_kimi.api.ids import is_id
from airflow_provider_kimi.api.models import Batch, BatchPage
from airflow_provider_kimi.calls.batch_list import Walk
from airflow_provider_kimi.calls.patience import Patience, in_time, is_rate_limit
from airflow_provider_kimi.exceptions import KimiApiError, KimiConnectionConfigError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.hooks.lookup import looking_up
from airflow_provider_kimi.ui.batch_view import LONGEST_TEXT, shown, view_of, views_of
from airflow_provider_kimi.ui.error_view import MOST_BYTES, errors_in
from airflow_provider_kimi.ui.glance import Glance, Seen
from airflow_provider_kimi.ui.holdings import PARTS, Holdings, nothing_yet
from airflow_provider_kimi.ui.landed import Recent, read_recent
from airflow_provider_kimi.ui.single_reads import SingleReads
from airflow_provider_kimi.ui.whose import Whose, read_whose
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

#: Shortest time between two reads of what an account has, and of what results have cost.
HOLDINGS_SECONDS = RECENT_SECONDS = 60.0

#: Most batches that are shown.
MOST_BATCHES = 1000

#: Most connections that are kept although they could not be looked up: viewers may make up ids.
MOST_UNREAD = 100

#: Pauses without blocking.
Sleep = Callable[[float], Awaitable[object]]

#: Ids of connections that are looked up at all; others may mean something to a secrets backend.
_CONN_ID = re.compile(r"(?!.*\.\.)[\w][\w.-]{0,199}")


class NoKimiConnectionError(Exception):
    """There is no connection of type `kimi` with this id; whether there is one of another type is not said."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(
            f"There is no Airflow connection {conn_id!r:.220} of type 'kimi'. Nothing was sent. Create it, or enter "
            "the id of another one."
        )


def check_conn_id(conn_id: str) -> None:
    """Refuse an id that no connection is looked up by.

    :raises NoKimiConnectionError: It is one.
    """
    if _CONN_ID.fullmatch(conn_id) is None:
        raise NoKimiConnectionError(conn_id)


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
        self.cancelling = asyncio.Lock()
        self.is_read = False

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


class Accounts:
    """All connections that somebody looks at, in one process of the API server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._accounts: dict[str, Account] = {}
        self._recent = Glance(_read_recent, lambda: RECENT_SECONDS, clock)

    async def batch_list(self, conn_id: str) -> Seen[BatchList]:
        """Return the batches of a connection.

        :raises NoKimiConnectionError: There is none of type `kimi` with this id.
        """
        return await self.look(conn_id, lambda account: account.batch_list)

    async def recent(self) -> Seen[Recent]:
        """Return what results have cost that were landed in the last days, over whichever connection."""
        return await self._recent.look()

    async def batch(self, conn_id: str, shown_id: str) -> Seen[Batch | None]:
        """Return one batch: of the list, or read alone if it is not there; None if there is none of this id."""
        listed = await self.batch_list(conn_id)
        if listed.value is not None and (batch := listed.value.find(shown_id)) is not None:
            return Seen(batch, listed.at, error=listed.error)
        if not is_id(shown_id) or len(shown_id) > LONGEST_TEXT:
            return Seen(None, self._clock())
        return await self.look(conn_id, lambda account: account.batch(shown_id))

    def of(self, conn_id: str) -> Account:
        """Return a connection that was looked at.

        :raises NoKimiConnectionError: It has been deleted since.
        """
        if (account := self._accounts.get(conn_id)) is None:
            raise NoKimiConnectionError(conn_id)
        return account

    async def look(self, conn_id: str, at: Callable[[Account], Glance[T]], patience: float | None = None) -> Seen[T]:
        """Look at something of a connection.

        :param patience: Seconds to wait for a read at most; None for what `Glance.look` waits.
        :raises NoKimiConnectionError: There is none of type `kimi` with this id.
        """
        check_conn_id(conn_id)
        if conn_id not in self._accounts:
            await self._make_room()
        account = self._accounts.setdefault(conn_id, Account(KimiHook(conn_id), self._clock, self._sleep))
        try:
            return await at(account).look(patience)
        except NoKimiConnectionError:
            if self._accounts.get(conn_id) is account:
                del self._accounts[conn_id]
                await account.aclose()
            raise

    async def _make_room(self) -> None:
        """Forget the oldest of very many connections that could not be looked up."""
        unread = [conn_id for conn_id, account in self._accounts.items() if not account.is_read]
        if len(unread) >= MOST_UNREAD:
            await self._accounts.pop(unread[0]).aclose()

    def now(self) -> float:
        """Return the time on the clock by which ages are told."""
        return self._clock()

    def age_of(self, seen: Seen[Any]) -> float | None:
        """Seconds since something was read; None if it never was."""
        return None if seen.at is None else self._clock() - seen.at

    async def aclose(self) -> None:
        """End all reads, and give all clients back."""
        await self._recent.aclose()
        accounts, self._accounts = self._accounts, {}
        for account in accounts.values():
            await account.aclose()


async def _read_recent() -> Recent:
    return await asyncio.to_thread(read_recent)
