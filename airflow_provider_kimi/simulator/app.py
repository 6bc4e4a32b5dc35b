"""The platform over HTTP: routes, keys, error envelopes, and the faults that spoil a call."""

import asyncio
import contextlib
import json
import math
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from airflow_provider_kimi.simulator import limits, rules
from airflow_provider_kimi.simulator.faults import CallName, Fault, Faults
from airflow_provider_kimi.simulator.platform import Platform

Handler = Callable[[Request], Awaitable[Response]]
Message = MutableMapping[str, Any]


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

    def __init__(self, platform: Platform, api_key: str) -> None:
        self.platform = platform
        self.api_key = api_key
        self.faults = Faults()
        self.journal: list[Call] = []
        self._app = Starlette(routes=self._routes(), exception_handlers={404: _no_such_url})

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Serve one connection event; the transport is kept for faults that close the connection."""
        if scope["type"] == "http":
            scope["kimi.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)

    def _routes(self) -> list[Route]:
        platform = self.platform
        table: list[tuple[CallName, str, str, Handler]] = [
            ("upload_file", "POST", "/files", self._upload_file),
            ("list_files", "GET", "/files", _shown(platform.list_files)),
            ("get_file", "GET", "/files/{id}", _shown(lambda file_id: platform.get_file(file_id).shape())),
            ("download_file", "GET", "/files/{id}/content", self._download_file),
            ("delete_file", "DELETE", "/files/{id}", _shown(platform.delete_file)),
            ("create_batch", "POST", "/batches", _posted(platform.create_batch)),
            ("list_batches", "GET", "/batches", self._list_batches),
            ("get_batch", "GET", "/batches/{id}", _shown(platform.get_batch)),
            ("cancel_batch", "POST", "/batches/{id}/cancel", _shown(platform.cancel_batch)),
            ("list_models", "GET", "/models", _shown(platform.list_models)),
            ("get_balance", "GET", "/users/me/balance", _shown(platform.get_balance)),
            ("estimate_tokens", "POST", "/tokenizers/estimate-token-count", _posted(platform.estimate_tokens)),
            ("chat", "POST", "/chat/completions", _posted(platform.chat)),
        ]
        return [
            Route(f"/v1{path}", self._endpoint(name, handler), methods=[method])
            for name, method, path, handler in table
        ]

    def _endpoint(self, name: CallName, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            authorized = request.headers.get("authorization") == f"Bearer {self.api_key}"
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            call = Call(name, path, self.platform.clock.now(), authorized)
            self.journal.append(call)
            response = await self._answer(name, handler, request, authorized)
            if not isinstance(response, _DroppedResponse):
                call.status = response.status_code
            response.headers["msh-request-id"] = secrets.token_hex(8)
            return response

        return endpoint

    async def _answer(self, name: CallName, handler: Handler, request: Request, authorized: bool) -> Response:
        if not authorized:
            return _refusal(_key_refusal(request))
        if (wait := self._seconds_to_wait()) is not None:
            return _fault_response(_too_many_calls(wait))
        fault = self.faults.take(name)
        return await (_guarded(handler, request) if fault is None else _spoilt(handler, request, fault))

    def _seconds_to_wait(self) -> int | None:
        """Whole seconds until the rate limit lets this call pass; None: it passes."""
        most, now = self.platform.behaviour.calls_per_minute, self.platform.clock.now()
        if most is None:
            return None
        earlier = self.journal[:-1]  # the last one is this call
        counted = [call.at for call in earlier if call.at > now - 60 and call.authorized and call.status != 429]
        return math.ceil(counted[-most] + 60 - now) if len(counted) >= most else None

    async def _upload_file(self, request: Request) -> Response:
        async with request.form(max_part_size=limits.MAX_FILE_BYTES * 2) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise rules.invalid("file is required")
            shape = await run_in_threadpool(
                self.platform.upload_file, upload.filename or "", str(form.get("purpose")), upload.file
            )
        return _Json(shape)

    async def _download_file(self, request: Request) -> Response:
        record = await run_in_threadpool(self.platform.open_content, request.path_params["id"])
        return FileResponse(record.path, media_type="text/plain")

    async def _list_batches(self, request: Request) -> Response:
        asked = request.query_params
        return _Json(await run_in_threadpool(self.platform.list_batches, asked.get("after"), asked.get("limit")))


def _shown(act: Callable[..., dict[str, Any]]) -> Handler:
    """Answer with what the platform does for the id in the path, if there is one."""

    async def handler(request: Request) -> Response:
        return _Json(await run_in_threadpool(act, *request.path_params.values()))

    return handler


def _posted(act: Callable[[dict[str, Any]], dict[str, Any]]) -> Handler:
    """Answer with what the platform does with the JSON of the body."""

    async def handler(request: Request) -> Response:
        return _Json(await run_in_threadpool(act, await _json_object(request)))

    return handler


class _Json(JSONResponse):
    """JSON in UTF-8; half a surrogate pair, which UTF-8 cannot hold, stays an escape."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        fields = await request.json()
    except (ValueError, RecursionError) as error:
        raise rules.invalid("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise rules.invalid("the body must be an object")
    return fields


async def _guarded(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except rules.RefusedError as refused:
        return _refusal(refused)
    except HTTPException as refused:
        return _refusal(rules.invalid(refused.detail))
    except ClientDisconnect:
        return _DroppedResponse()
    except Exception as error:  # most likely an error in the responder
        return _refusal(rules.RefusedError(500, "server_error", f"{type(error).__name__}: {error}"))


async def _spoilt(handler: Handler, request: Request, fault: Fault) -> Response:
    response = await _guarded(handler, request) if fault.accepted else None
    await asyncio.sleep(fault.hang_seconds)
    if fault.status is not None or fault.drop:
        if response is None:
            await _read_whole(request)
        return _fault_response(fault)
    response = response or await _guarded(handler, request)
    if fault.cut_after_bytes is not None:
        return _CutResponse(response, fault.cut_after_bytes, fault.cut_silently)
    return response


async def _read_whole(request: Request) -> None:
    """Read the body to its end, because many clients listen only after they have sent it."""
    with contextlib.suppress(ClientDisconnect):
        async for _ in request.stream():
            pass


def _key_refusal(request: Request) -> rules.RefusedError:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.strip():
        return rules.RefusedError(401, "incorrect_api_key_error", "Incorrect API key provided")
    return rules.RefusedError(401, "invalid_authentication_error", "Invalid Authentication")


def _refusal(refused: rules.RefusedError) -> Response:
    return _Json({"error": {"type": refused.error_type, "message": refused.message}}, refused.status)


async def _no_such_url(request: Request, error: Exception) -> Response:
    """Answer an unknown path as the platform does, which is not its usual envelope."""
    path = request.url.path
    return _Json({"error": "url.not_found", "message": f"the requested url {path} was not found", "url": path}, 404)


def _too_many_calls(wait: int) -> Fault:
    message = f"Your account <org-simulator><ak-simulator> reached max RPM, please try again after {wait} seconds"
    return Fault(status=429, error_type="rate_limit_reached_error", message=message, retry_after=wait)


def _fault_response(fault: Fault) -> Response:
    if fault.drop:
        return _DroppedResponse()
    assert fault.status is not None
    wait = fault.retry_after
    headers = {} if wait is None else dict.fromkeys(("retry-after", "x-retry-after"), f"{wait:g}")
    if fault.html:
        return HTMLResponse(f"<html><body><h1>{fault.status}</h1></body></html>", fault.status, headers)
    envelope = {"error": {"type": fault.error_type, "message": fault.message}}
    return _Json(envelope, fault.status, headers)


class _DroppedResponse(Response):
    """Close the connection without a byte."""

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        scope["kimi.transport"].abort()


def _beginning(whole: Response, size_bytes: int) -> bytes:
    if not isinstance(whole, FileResponse):
        return bytes(whole.body)[:size_bytes]
    with Path(whole.path).open("rb") as stored:
        return stored.read(size_bytes)


class _CutResponse(Response):
    """Send only the beginning of a body."""

    def __init__(self, whole: Response, cut_after_bytes: int, silently: bool) -> None:
        content = _beginning(whole, cut_after_bytes)
        super().__init__(content, whole.status_code, media_type=whole.media_type)
        self._silently = silently
        if not silently:
            self.headers["content-length"] = str(len(content) + 1)

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if self._silently:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        scope["kimi.transport"].close()
