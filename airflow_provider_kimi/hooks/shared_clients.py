"""Async clients that all triggers of one event loop share: building one takes tens of milliseconds of a processor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_kimi.api.settings import ConnectionSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI


@dataclass
class _Shared:
    """A client on its way or there, and how many hold it."""

    client: asyncio.Future[AsyncOpenAI]
    holders: int = 0


#: By the loop that a client belongs to, since its sockets do, and by all that it was built from: a connection that was
#: changed gets a client of its own, and those who hold the old one keep it.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ConnectionSettings, _Shared]] = WeakKeyDictionary()

#: Clients that are being closed; a loop itself holds its tasks only weakly.
_closing: set[asyncio.Task[None]] = set()


async def borrow(settings: ConnectionSettings, build: Callable[[ConnectionSettings], AsyncOpenAI]) -> AsyncOpenAI:
    """Return the client of this loop for a connection; whoever gets it calls `give_back` once.

    :param build: Makes a client; called in a thread, where nobody holds one.
    """
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = _Shared(asyncio.ensure_future(asyncio.to_thread(build, settings)))
    shared = of_loop[settings]
    shared.holders += 1
    try:
        return await asyncio.shield(shared.client)  # one who is cancelled takes it from nobody else
    except BaseException:
        give_back(settings)
        raise


def give_back(settings: ConnectionSettings) -> asyncio.Task[None] | None:
    """Leave a client to the others; without any it is closed, by the returned task, which need not be waited for."""
    of_loop = _shared.get(asyncio.get_running_loop(), {})
    shared = of_loop[settings]
    shared.holders -= 1
    if shared.holders:
        return None
    del of_loop[settings]
    closing = asyncio.create_task(_close(shared))
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
    return closing


async def _close(shared: _Shared) -> None:
    try:
        client = await shared.client
    except Exception:  # it was never built, which those who waited for it were told
        return
    await client.close()
