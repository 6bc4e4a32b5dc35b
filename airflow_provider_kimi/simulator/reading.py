"""Reading a request to its end, which gives the act that answers it: now, late, or not at all."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from airflow_provider_kimi.simulator import limits, rules
from airflow_provider_kimi.simulator.platform import Platform
from airflow_provider_kimi.simulator.responses import DroppedResponse, Json, refusal

#: Does what the request asks for, and answers. It may block.
Act = Callable[[], Response]
Reader = Callable[[Request], Awaitable[Act]]


def key_of(request: Request) -> str:
    """The API key that a request shows; empty if it shows none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme == "Bearer" else ""


def shown(act: Callable[..., dict[str, Any]], *, with_key: bool = False) -> Reader:
    """Answer with what the platform does for the id in the path, if there is one."""

    async def read(request: Request) -> Act:
        arguments = [*request.path_params.values(), *([key_of(request)] if with_key else [])]
        return lambda: Json(act(*arguments))

    return read


def posted(act: Callable[..., dict[str, Any]], *, with_key: bool = False) -> Reader:
    """Answer with what the platform does with the JSON of the body."""

    async def read(request: Request) -> Act:
        arguments = [await _json_object(request), *([key_of(request)] if with_key else [])]
        return lambda: Json(act(*arguments))

    return read


def uploaded(platform: Platform) -> Reader:
    """Store the file of a form."""

    async def read(request: Request) -> Act:
        try:
            form = await request.form(max_part_size=limits.MAX_FILE_BYTES * 2)
        except ValueError as error:  # of the parser, which Starlette below 1 lets through
            raise rules.invalid("the form is malformed") from error
        upload, purpose = form.get("file"), str(form.get("purpose"))
        if not isinstance(upload, UploadFile):
            await form.close()
            raise rules.invalid("file is required")

        def store() -> Response:
            with upload.file:
                return Json(platform.upload_file(upload.filename or "", purpose, upload.file, key_of(request)))

        return store

    return read


def downloaded(platform: Platform) -> Reader:
    """Send the bytes of a file."""

    async def read(request: Request) -> Act:
        file_id, key = request.path_params["id"], key_of(request)
        if not platform.behaviour.ranges:
            request.scope["headers"] = [header for header in request.scope["headers"] if header[0] != b"range"]
        return lambda: FileResponse(platform.open_content(file_id, key).path, media_type="text/plain")

    return read


def listed(platform: Platform) -> Reader:
    """Show a page of batches."""

    async def read(request: Request) -> Act:
        asked = request.query_params
        return lambda: Json(platform.list_batches(asked.get("after"), asked.get("limit")))

    return read


async def answered(read: Reader, request: Request) -> Response:
    """Do what a request asks for; what goes wrong becomes an error envelope."""
    try:
        return await run_in_threadpool(await read(request))
    except rules.RefusedError as refused:
        return refusal(refused)
    except HTTPException as refused:
        return refusal(rules.invalid(refused.detail))
    except ClientDisconnect:
        return DroppedResponse()
    except Exception as error:  # most likely an error in the responder
        return refusal(rules.RefusedError(500, "server_error", f"{type(error).__name__}: {error}"))


async def read_whole(request: Request) -> None:
    """Read the body to its end, because many clients listen only after they have sent it."""
    with contextlib.suppress(ClientDisconnect):
        async for _ in request.stream():
            pass


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        fields = await request.json()
    except (ValueError, RecursionError) as error:
        raise rules.invalid("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise rules.invalid("the body must be an object")
    return fields
