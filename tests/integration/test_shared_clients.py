"""Triggers of one connection and event loop share one client, which lives as long as one of them."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.hooks.clients import AsyncKimiClient, build_async_client
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.hooks.shared_clients import borrow, give_back
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.samples import make_settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SETTINGS = make_settings()


async def closed(client: "AsyncOpenAI") -> bool:
    """Whether a client is closed, as soon as what the loop has begun is done."""
    for _ in range(100):
        if client.is_closed():
            return True
        await asyncio.sleep(0.01)
    return False


async def test_hooks_share_a_client_and_the_last_one_closes_it(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim)
    hooks = [KimiHook() for _ in range(20)]
    clients = await asyncio.gather(*(hook.aget_conn() for hook in hooks))
    assert len(set(map(id, clients))) == 1
    for hook in hooks[1:]:
        await hook.aclose()
        await hook.aclose()
    assert not clients[0].is_closed()
    assert (await hooks[0].aget_conn()) is clients[0]
    await hooks[0].aclose()
    assert await closed(clients[0])
    later = KimiHook()
    assert (await later.aget_conn()) is not clients[0]
    await later.aclose()


async def test_a_connection_that_was_changed_gets_a_client_of_its_own(connect: Connect) -> None:
    with KimiSimulator(speed=0) as one, KimiSimulator(speed=0) as two:
        first = connect(one)
        old = await first.aget_conn()
        second = connect(two)
        new = await second.aget_conn()
        assert (str(old.base_url), str(new.base_url)) == (f"{one.base_url}/", f"{two.base_url}/")
        await second.aclose()
        assert await closed(new)
        assert not old.is_closed()
        await first.aclose()


def test_a_new_event_loop_gets_a_client_of_its_own() -> None:
    async def once() -> AsyncKimiClient:
        return await borrow(SETTINGS, build_async_client)

    first, second = asyncio.run(once()), asyncio.run(once())
    assert first is not second, "a loop that died before it gave its client back leaves none to the next"


async def test_a_call_that_is_cancelled_while_the_client_is_built_takes_it_from_no_other() -> None:
    begun = asyncio.Event()

    async def hold() -> AsyncKimiClient:
        begun.set()
        return await borrow(SETTINGS, build_async_client)

    impatient, patient = asyncio.create_task(hold()), asyncio.create_task(hold())
    await begun.wait()
    impatient.cancel()
    client = await patient
    assert not client.is_closed()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    give_back(SETTINGS)
    assert await closed(client)


async def test_a_client_that_cannot_be_built_is_built_by_the_next_call() -> None:
    def fail(settings: ConnectionSettings) -> AsyncKimiClient:
        raise RuntimeError("no certificates")

    for _ in range(2):
        found = await asyncio.gather(*(borrow(SETTINGS, fail) for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in found] == [RuntimeError] * 3
    client = await borrow(SETTINGS, build_async_client)
    give_back(SETTINGS)
    assert await closed(client)


async def test_another_key_gets_another_client() -> None:
    other = replace(SETTINGS, api_key="sk-another0123")
    clients = [await borrow(one, build_async_client) for one in (SETTINGS, other)]
    assert clients[0] is not clients[1]
    for one in (SETTINGS, other):
        give_back(one)
    assert [await closed(client) for client in clients] == [True, True]
