"""All connections that somebody looks at, and what is the same over all of them."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from airflow_provider_kimi.api.ids import is_id
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.ui.account import Account, BatchList, NoKimiConnectionError, Sleep
from airflow_provider_kimi.ui.airflow_records import Recent, read_recent
from airflow_provider_kimi.ui.batch_view import LONGEST_TEXT
from airflow_provider_kimi.ui.glance import Glance, Seen

T = TypeVar("T")

#: Shortest time between two reads of what results have cost.
RECENT_SECONDS = 60.0

#: Most connections that are kept although they could not be looked up: viewers may make up ids.
MOST_UNREAD = 100

#: Ids of connections that are looked up at all; others may mean something to a secrets backend.
_CONN_ID = re.compile(r"(?!.*\.\.)[\w][\w.-]{0,199}")


def check_conn_id(conn_id: str) -> None:
    """Refuse an id that no connection is looked up by.

    :raises NoKimiConnectionError: It is one.
    """
    if _CONN_ID.fullmatch(conn_id) is None:
        raise NoKimiConnectionError(conn_id)


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
