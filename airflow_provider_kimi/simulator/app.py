"""The platform over HTTP: routes, keys, error envelopes, and the faults that spoil a call."""

import asyncio
import contextlib
import math
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_kimi.simulator import reading, rules
from airflow_provider_kimi.simulator.faults import CallName, Fault, Faults
from airflow_provider_kimi.simulator.late_calls import LateCalls
from airflow_provider_kimi.simulator.platform import Platform
from airflow_provider_kimi.simulator.reading import Reader, answered, key_of, posted, read_whole, shown
from airflow_provider_kimi.simulator.responses import (
    CutResponse,
    DroppedResponse,
    fault_response,
    http_date,
    no_such_url,
    refusal,
    trickle,
)


@dataclass
class Call:
    """One call that the simulator received; it is in the journal from its arrival on.

    :param name: The call of the API, by the name of the hook's method.
    :param path: Path with query, as sent.
    :param at: Simulated unix seconds of its arrival.
    :param authorized: Whether the key was right.
    :param status: HTTP status of the answer; None while there is none, and where the connection was dropped.
    """

    name: str
    path: str
    at: float
    authorized: bool
    status: int | None = None


class SimulatorApp:
    """An ASGI application around one `Platform`; keeps the journal."""

    def __init__(self, platform: Platform, keys: Sequence[str]) -> None:
        self.platform = platform
        self.keys = keys
        self.faults = Faults()
        self.journal: list[Call] = []
        self.late_calls = LateCalls(platform.clock)
        self._chats = 0
        self._app = Starlette(routes=self._routes(), exception_handlers={404: no_such_url})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; the transport is kept for faults that close the connection or slow it."""
        scope["kimi.transport"] = getattr(getattr(send, "__self__", None), "transport", None)

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])["date"] = http_date(self.platform.clock.now())
            if pause := scope.get("kimi.trickle_seconds"):
                await trickle(message, scope["kimi.transport"], pause)
            else:
                await send(message)

        await self._app(scope, receive, send_dated)
        if scope.get("kimi.trickle_seconds"):
            scope["kimi.transport"].close()

    def _routes(self) -> list[Route]:
        platform = self.platform
        table: list[tuple[CallName, str, str, Reader]] = [
            ("upload_file", "POST", "/files", reading.uploaded(platform)),
            ("list_files", "GET", "/files", shown(platform.list_files)),
            ("get_file", "GET", "/files/{id}", shown(lambda file_id: platform.get_file(file_id).shape())),
            ("download_file", "GET", "/files/{id}/content", reading.downloaded(platform)),
            ("delete_file", "DELETE", "/files/{id}", shown(platform.delete_file, with_key=True)),
            ("create_batch", "POST", "/batches", posted(platform.create_batch, with_key=True)),
            ("list_batches", "GET", "/batches", reading.listed(platform)),
            ("get_batch", "GET", "/batches/{id}", shown(platform.get_batch)),
            ("cancel_batch", "POST", "/batches/{id}/cancel", shown(platform.cancel_batch)),
            ("list_models", "GET", "/models", shown(platform.list_models)),
            ("get_balance", "GET", "/users/me/balance", shown(platform.get_balance)),
            ("estimate_tokens", "POST", "/tokenizers/estimate-token-count", posted(platform.estimate_tokens)),
            ("chat", "POST", "/chat/completions", posted(platform.chat)),
        ]
        return [Route(f"/v1{path}", self._endpoint(name, read), methods=[method]) for name, method, path, read in table]

    def _endpoint(self, name: CallName, read: Reader) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            await run_in_threadpool(self.late_calls.carry_out)
            authorized = key_of(request) in self.keys
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            call = Call(name, path, self.platform.clock.now(), authorized)
            self.journal.append(call)
            response = await self._answer(name, read, request, authorized)
            if not isinstance(response, DroppedResponse):
                call.status = response.status_code
            response.headers["msh-request-id"] = secrets.token_hex(8)
            return response

        return endpoint

    async def _answer(self, name: CallName, read: Reader, request: Request, authorized: bool) -> Response:
        if not authorized:
            return refusal(_key_refusal(request))
        if (wait := self._seconds_to_wait()) is not None:
            return self._fault_response(_too_many_calls(wait, self.platform.behaviour.retry_after_seconds))
        if name == "chat":
            return await self._chat(read, request)
        return await self._read(name, read, request)

    async def _chat(self, read: Reader, request: Request) -> Response:
        most = self.platform.behaviour.chats_at_once
        if most is not None and self._chats >= most:
            return self._fault_response(_too_many_chats(most, self.platform.behaviour.retry_after_seconds))
        self._chats += 1
        try:
            return await self._read("chat", read, request)
        finally:
            self._chats -= 1

    async def _read(self, name: CallName, read: Reader, request: Request) -> Response:
        fault = self.faults.take(name)
        return await (answered(read, request) if fault is None else self._spoilt(read, request, fault))

    async def _spoilt(self, read: Reader, request: Request, fault: Fault) -> Response:
        response = await answered(read, request) if fault.accepted else None
        if fault.done_after_seconds is not None:
            await self._postpone(read, request, fault.done_after_seconds)
        elif fault.hides_the_answer and response is None:
            await read_whole(request)
        await asyncio.sleep(fault.hang_seconds)
        request.scope["kimi.trickle_seconds"] = fault.trickle_seconds
        if fault.hides_the_answer:
            return self._fault_response(fault)
        response = response or await answered(read, request)
        if fault.cut_after_bytes is not None:
            return CutResponse(response, fault.cut_after_bytes, fault.cut_silently)
        return response

    async def _postpone(self, read: Reader, request: Request, seconds: float) -> None:
        with contextlib.suppress(rules.RefusedError, HTTPException, ClientDisconnect):
            self.late_calls.add(seconds, await read(request))

    def _fault_response(self, fault: Fault) -> Response:
        is_date = self.platform.behaviour.retry_after_date
        return fault_response(fault, self.platform.clock.now() if is_date else None)

    def _seconds_to_wait(self) -> int | None:
        """Whole seconds until the rate limit lets this call pass; None: it passes."""
        most, now = self.platform.behaviour.calls_per_minute, self.platform.clock.now()
        if most is None:
            return None
        earlier = self.journal[:-1]  # the last one is this call
        counted = [call.at for call in earlier if call.at > now - 60 and call.authorized and call.status != 429]
        return math.ceil(counted[-most] + 60 - now) if len(counted) >= most else None


def _key_refusal(request: Request) -> rules.RefusedError:
    if not key_of(request):
        return rules.RefusedError(401, "incorrect_api_key_error", "Incorrect API key provided")
    return rules.RefusedError(401, "invalid_authentication_error", "Invalid Authentication")


def _too_many_calls(wait: int, claimed: float | None) -> Fault:
    """Refuse a call for the rate limit; `claimed` replaces the honest time to wait in the header."""
    message = f"Your account <org-simulator><ak-simulator> reached max RPM, please try again after {wait} seconds"
    return _rate_limit(message, wait if claimed is None else claimed)


def _too_many_chats(most: int, claimed: float | None) -> Fault:
    message = f"Your account <org-simulator><ak-simulator> reached max organization concurrency: {most}"
    return _rate_limit(message, 1.0 if claimed is None else claimed)


def _rate_limit(message: str, retry_after: float) -> Fault:
    return Fault(status=429, error_type="rate_limit_reached_error", message=message, retry_after=retry_after)
