"""Answers on the wire: JSON, refusals, and what faults make of them."""

import asyncio
import http.client
import json
import math
from email.utils import formatdate
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
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
    """Send only the beginning of a body."""

    def __init__(self, whole: Response, cut_after_bytes: int, silently: bool) -> None:
        content = _beginning(whole, cut_after_bytes)
        super().__init__(content, whole.status_code, media_type=whole.media_type)
        self._silently = silently
        if not silently:
            self.headers["content-length"] = str(len(content) + 1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the beginning, and close the connection unless the cut is silent."""
        if self._silently:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        scope["kimi.transport"].close()


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


def _beginning(whole: Response, size_bytes: int) -> bytes:
    if not isinstance(whole, FileResponse):
        return bytes(whole.body)[:size_bytes]
    with Path(whole.path).open("rb") as stored:
        return stored.read(size_bytes)
