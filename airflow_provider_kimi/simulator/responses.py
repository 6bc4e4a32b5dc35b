"""Answers on the wire: JSON, refusals, and what faults make of them."""

import asyncio
import http.client
import json
import math
from email.utils import formatdate
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Message

from airflow_provider_kimi.simulator import rules
from airflow_provider_kimi.simulator.faults import Fault


class Json(JSONResponse):
    """JSON in UTF-8; half a surrogate pair, which UTF-8 cannot hold, stays an escape."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")


def refusal(refused: rules.RefusedError) -> Response:
    """The platform's error envelope."""
    return Json({"error": {"type": refused.error_type, "message": refused.message}}, refused.status)


async def no_such_url(request: Request, error: Exception) -> Response:
    """Answer an unknown path as the platform does, which is not its usual envelope."""
    path = request.url.path
    return Json({"error": "url.not_found", "message": f"the requested url {path} was not found", "url": path}, 404)


def http_date(moment: float) -> str:
    """A moment as HTTP headers write it, in whole seconds."""
    return formatdate(math.floor(moment), usegmt=True)


def fault_response(fault: Fault, date_from: float | None = None) -> Response:
    """What a client gets instead of the answer.

    :param date_from: The moment from which `retry-after` counts, to write it as a date; None writes the seconds.
    """
    if fault.drop:
        return DroppedResponse()
    assert fault.status is not None
    wait = fault.retry_after
    headers = {}
    if wait is not None:
        text = f"{wait:g}" if date_from is None else http_date(math.ceil(date_from + wait))
        headers = dict.fromkeys(("retry-after", "x-retry-after"), text)
    if fault.html:
        return HTMLResponse(f"<html><body><h1>{fault.status}</h1></body></html>", fault.status, headers)
    envelope = {"error": {"type": fault.error_type, "message": fault.message}}
    return Json(envelope, fault.status, headers)


class DroppedResponse(Response):
    """Close the connection without a byte."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send nothing."""
        scope["kimi.transport"].abort()


class CutResponse(Response):
    """Send only the beginning of a body; of a part of a file that is not longer, all."""

    def __init__(self, whole: Response, cut_after_bytes: int, silently: bool) -> None:
        super().__init__(status_code=whole.status_code)
        self.raw_headers = whole.raw_headers
        self._whole = whole
        self._left = cut_after_bytes
        self._silently = silently
        self._is_all = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the beginning, and close the connection unless the cut is silent."""

        async def send_beginning(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._cut_length(message["status"], MutableHeaders(raw=message["headers"]))
            elif self._left >= 0 and not self._is_all:
                message = self._cut_body(message)
            elif not self._is_all:
                return
            await send(message)
            if self._left < 0 and not self._silently:
                scope["kimi.transport"].close()

        await self._whole(scope, receive, send_beginning)

    def _cut_length(self, status: int, headers: MutableHeaders) -> None:
        length = int(headers["content-length"])
        self._is_all = status == 206 and length <= self._left
        if not self._is_all:
            sent = min(length, self._left) if self._silently else max(length, self._left + 1)
            headers["content-length"] = str(sent)

    def _cut_body(self, message: Message) -> Message:
        body, left = message.get("body", b""), self._left
        is_last = len(body) > left or not message.get("more_body")
        self._left = -1 if is_last else left - len(body)
        return {**message, "body": body[:left], "more_body": not (is_last and self._silently)}


async def trickle(message: Message, transport: Any, pause_seconds: float) -> None:
    """Send one message of an answer byte by byte, past the server, which would send its headers at once."""
    if message["type"] == "http.response.start":
        status = message["status"]
        headers = [*message["headers"], (b"connection", b"close")]
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}".encode()]
        text = b"\r\n".join([*lines, *(b": ".join(header) for header in headers), b"", b""])
    else:
        text = message.get("body", b"")
    for byte in text:
        if transport.is_closing():
            return
        transport.write(bytes([byte]))
        await asyncio.sleep(pause_seconds)
