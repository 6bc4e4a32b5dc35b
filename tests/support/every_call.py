"""Every call of the platform that a hook can make, blocking and not, and answers that satisfy all of them."""

import io
from collections.abc import Awaitable, Callable

from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.support.raw_server import reply

_BATCH = b'{"id": "batch_1", "status": "completed"}'
_LIST = b'{"data": []}'

#: Bodies by the end of a request's path.
_BODIES = {
    "GET /v1/batches/batch_1": _BATCH,
    "POST": _BATCH,
    "GET /v1/users/me/balance": b'{"data": {"available_balance": 1.0}}',
    "POST /v1/chat/completions": b'{"choices": []}',
    "POST /v1/tokenizers/estimate-token-count": b'{"data": {"total_tokens": 1}}',
    "DELETE": b'{"id": "file_1", "deleted": true}',
    "GET": _LIST,
}

CALLS: dict[str, Callable[[KimiHook], object]] = {
    "upload_file": lambda hook: hook.upload_file(io.BytesIO(b"{}\n"), "a.jsonl"),
    "create_batch": lambda hook: hook.create_batch("file_1", metadata={"a": "b"}),
    "get_batch": lambda hook: hook.get_batch("batch_1"),
    "list_batches": lambda hook: hook.list_batches(),
    "cancel_batch": lambda hook: hook.cancel_batch("batch_1"),
    "list_files": lambda hook: hook.list_files(),
    "download_file": lambda hook: hook.download_file("file_1", io.BytesIO()),
    "delete_file": lambda hook: hook.delete_file("file_1"),
    "list_models": lambda hook: hook.list_models(),
    "get_balance": lambda hook: hook.get_balance(),
    "estimate_tokens": lambda hook: hook.estimate_tokens([{"role": "user", "content": "hi"}]),
}

ASYNC_CALLS: dict[str, Callable[[KimiHook], Awaitable[object]]] = {
    "aget_batch": lambda hook: hook.aget_batch("batch_1"),
    "alist_batches": lambda hook: hook.alist_batches(),
    "acancel_batch": lambda hook: hook.acancel_batch("batch_1"),
    "achat": lambda hook: hook.achat({"model": "kimi-k2.6", "messages": []}),
}


async def call_async(hook: KimiHook, name: str) -> object:
    """Make one call from an event loop, and give the client back."""
    try:
        return await ASYNC_CALLS[name](hook)
    finally:
        await hook.aclose()


def answer_to(request: bytes) -> list[bytes]:
    """The answer that satisfies a call."""
    line = request.split(b" HTTP/1.1")[0].decode()
    fitting = [start for start in _BODIES if line.startswith(start)]
    return [reply(_BODIES[max(fitting, key=len)])]
