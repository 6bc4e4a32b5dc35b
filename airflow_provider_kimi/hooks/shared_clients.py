"""Async clients that all triggers of one event loop share, because building one takes tens of milliseconds of CPU."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_kimi.api.settings import ConnectionSettings

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.clients import AsyncKimiClient


@dataclass
class _Shared:
    client: asyncio.Future[AsyncKimiClient]  # possibly still being built
    holders: int = 0


#: By event loop, since the sockets of a client belong to one, and by settings: after a change of the connection, new
#: holders get a new client, and the others keep theirs.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ConnectionSettings, _Shared]] = WeakKeyDictionary()

#: Tasks that close clients; an event loop holds its tasks only weakly.
_closing: set[asyncio.Task[None]] = set()


async def borrow(
    settings: ConnectionSettings, build: Callable[[ConnectionSettings], AsyncKimiClient]
) -> AsyncKimiClient:
    """Return the client of this loop for a connection. Each caller calls `give_back` once.

    :param build: Makes a client; called in a thread, if there is none yet.
    """
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = _Shared(asyncio.ensure_future(asyncio.to_thread(build, settings)))
    shared = of_loop[settings]
    shared.holders += 1
    try:
        return await asyncio.shield(shared.client)  # a caller that is cancelled does not cancel the others
    except BaseException:
        give_back(settings)
        raise


def give_back(settings: ConnectionSettings) -> asyncio.Task[None] | None:
    """Stop holding a client. The last holder gets the task that closes it, and need not wait for that task."""
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
    except Exception:  # it was never built; its callers got this error
        return
    await client.close()


def build_later(settings: ConnectionSettings) -> AsyncKimiClient:
    """Build a client in the thread that calls this, which loads the SDK if need be."""
    from airflow_provider_kimi.hooks.clients import build_async_client

    return build_async_client(settings)
