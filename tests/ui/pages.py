"""A browser of each user, in front of the app."""

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_kimi.ui.accounts import Accounts
from airflow_provider_kimi.ui.app import build_app

#: What a browser sends with what the page itself asks for.
OWN = {"Sec-Fetch-Site": "same-origin", "X-Requested-With": "kimi-batches"}


class Pages:
    """A browser of each user, and the clock of the app, which stands still."""

    def __init__(self, token_of: Callable[[str | None], str]) -> None:
        self.now = 1000.0
        self.token_of = token_of
        self.slept = 0.0
        self.app = build_app(Accounts(clock=lambda: self.now, sleep=self._sleep))

    async def _sleep(self, seconds: float) -> None:
        self.slept += seconds

    async def send(
        self,
        method: str,
        path: str,
        role: str | None = "viewer",
        headers: Mapping[str, str] | None = None,
        **params: str,
    ) -> Any:
        import httpx

        cookies = {"_token": self.token_of(role)} if role else {}
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow", cookies=cookies) as client:
            return await client.request(method, path, params=params, headers=headers)

    async def get(self, path: str, role: str | None = "viewer", **params: str) -> Any:
        return await self.send("GET", path, role, None, **params)

    async def batches(self, conn_id: str = "kimi_default", role: str = "viewer") -> Any:
        reply = await self.get("/batches", role, conn_id=conn_id)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def all_batches(self) -> Any:
        """Ask as the page does: again at once while the first read goes on."""
        while (shown := await self.batches())["is_reading"]:
            pass
        return shown

    async def batch(self, batch_id: str, role: str = "viewer") -> Any:
        reply = await self.get("/batch", role, batch=batch_id)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def cancel(
        self, batch_id: str, role: str | None = "user", headers: Mapping[str, str] = OWN, **params: str
    ) -> Any:
        return await self.send("POST", f"/batches/{batch_id}/cancel", role, headers, **params)
