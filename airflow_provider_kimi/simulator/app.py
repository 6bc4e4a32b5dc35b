"""The HTTP face of the platform: routes, auth, envelopes, faults."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from airflow_provider_kimi.simulator import limits, rules
from airflow_provider_kimi.simulator.faults import CallName, Fault, Faults
from airflow_provider_kimi.simulator.platform import Platform

Handler = Callable[[Request], Awaitable[Response]]
Message = MutableMapping[str, Any]


@dataclass
class Call:
    """One call that the simulator received; it stands in the journal from its arrival on.

    :param name: Which call of the API, by the name of the hook's method.
    :param path: Path with query, as sent.
    :param at: Simulated unix seconds of its arrival.
    :param authorized: Whether the key was right.
    :param status: HTTP status of the answer; None where none was given, or none yet.
    """

    name: str
    method: str
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
        self._app = Starlette(routes=self._routes())

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Serve one connection event, keeping the transport at hand for faults that need to close it."""
        if scope["type"] == "http":
            scope["kimi.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)

    def _routes(self) -> list[Route]:
        table: list[tuple[CallName, str, str, Handler]] = [
            ("upload_file", "POST", "/files", self._upload_file),
            ("list_files", "GET", "/files", self._list_files),
            ("get_file", "GET", "/files/{file_id}", self._get_file),
            ("download_file", "GET", "/files/{file_id}/content", self._download_file),
            ("delete_file", "DELETE", "/files/{file_id}", self._delete_file),
            ("create_batch", "POST", "/batches", self._create_batch),
            ("list_batches", "GET", "/batches", self._list_batches),
            ("get_batch", "GET", "/batches/{batch_id}", self._get_batch),
            ("cancel_batch", "POST", "/batches/{batch_id}/cancel", self._cancel_batch),
            ("list_models", "GET", "/models", self._list_models),
            ("get_balance", "GET", "/users/me/balance", self._get_balance),
            ("estimate_tokens", "POST", "/tokenizers/estimate-token-count", self._estimate_tokens),
            ("chat", "POST", "/chat/completions", self._chat),
        ]
        return [
            Route(f"/v1{path}", self._endpoint(name, handler), methods=[method])
            for name, method, path, handler in table
        ]

    def _endpoint(self, name: CallName, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            authorized = request.headers.get("authorization") == f"Bearer {self.api_key}"
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            call = Call(name, request.method, path, self.platform.clock.now(), authorized)
            self.journal.append(call)
            response = await self._answer(name, handler, request, authorized)
            if not isinstance(response, _DroppedResponse):
                call.status = response.status_code
            response.headers["msh-request-id"] = secrets.token_hex(8)
            return response

        return endpoint

    async def _answer(self, name: CallName, handler: Handler, request: Request, authorized: bool) -> Response:
        if not authorized:
            return _refusal(self._refuse_key(request))
        fault = self.faults.take(name)
        if fault is None:
            return await _guarded(handler, request)
        await asyncio.sleep(fault.hang_seconds)
        answers_itself = fault.status is not None or fault.drop
        if answers_itself and not fault.accepted:
            if name == "upload_file":
                await request.body()
            return _fault_response(fault)
        response = await _guarded(handler, request)
        if fault.cut_after_bytes is not None and isinstance(response, FileResponse):
            return _CutResponse(response, fault.cut_after_bytes, fault.cut_silently)
        return _fault_response(fault) if answers_itself else response

    def _refuse_key(self, request: Request) -> rules.RefusedError:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key.strip():
            return rules.RefusedError(401, "incorrect_api_key_error", "Incorrect API key provided")
        return rules.RefusedError(401, "invalid_authentication_error", "Invalid Authentication")

    async def _upload_file(self, request: Request) -> Response:
        async with request.form(max_part_size=limits.MAX_FILE_BYTES * 2) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise rules.invalid("file is required")
            shape = await run_in_threadpool(
                self.platform.upload_file, upload.filename or "", str(form.get("purpose")), upload.file
            )
        return JSONResponse(shape)

    async def _list_files(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.platform.list_files))

    async def _get_file(self, request: Request) -> Response:
        record = await run_in_threadpool(self.platform.get_file, request.path_params["file_id"])
        return JSONResponse(record.shape())

    async def _download_file(self, request: Request) -> Response:
        record = await run_in_threadpool(self.platform.get_file, request.path_params["file_id"])
        return FileResponse(record.path, media_type="text/plain")

    async def _delete_file(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.platform.delete_file, request.path_params["file_id"]))

    async def _create_batch(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.platform.create_batch, await _json_object(request)))

    async def _list_batches(self, request: Request) -> Response:
        limit = request.query_params.get("limit", str(limits.DEFAULT_LIST_LIMIT))
        if not limit.isdigit() or limit == "0":
            raise rules.invalid("limit must be a positive integer")
        after = request.query_params.get("after")
        return JSONResponse(await run_in_threadpool(self.platform.list_batches, after, int(limit)))

    async def _get_batch(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.platform.get_batch, request.path_params["batch_id"]))

    async def _cancel_batch(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.platform.cancel_batch, request.path_params["batch_id"]))

    async def _list_models(self, request: Request) -> Response:
        return JSONResponse(self.platform.list_models())

    async def _get_balance(self, request: Request) -> Response:
        return JSONResponse(self.platform.get_balance())

    async def _estimate_tokens(self, request: Request) -> Response:
        return JSONResponse(self.platform.estimate_tokens(await _json_object(request)))

    async def _chat(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.platform.chat, await _json_object(request)))


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        fields = await request.json()
    except ValueError as error:
        raise rules.invalid("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise rules.invalid("the body must be an object")
    return fields


async def _guarded(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except rules.RefusedError as refused:
        return _refusal(refused)


def _refusal(refused: rules.RefusedError) -> Response:
    return JSONResponse({"error": {"type": refused.error_type, "message": refused.message}}, refused.status)


def _fault_response(fault: Fault) -> Response:
    if fault.drop:
        return _DroppedResponse()
    assert fault.status is not None
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    if fault.html:
        return HTMLResponse(f"<html><body><h1>{fault.status}</h1></body></html>", fault.status, headers)
    envelope = {"error": {"type": fault.error_type, "message": fault.message}}
    return JSONResponse(envelope, fault.status, headers)


class _DroppedResponse(Response):
    """Close the connection without a byte."""

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        scope["kimi.transport"].abort()


class _CutResponse(Response):
    """Send only the beginning of a file."""

    def __init__(self, whole: FileResponse, cut_after_bytes: int, silently: bool) -> None:
        with open(whole.path, "rb") as stored:
            content = stored.read(cut_after_bytes)
        super().__init__(content, media_type="text/plain")
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
