"""Which rows are asked again in another round, and with which change to their request."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from airflow_provider_kimi.api.catalogue import DEFAULT_OUTPUT_CAP, OUTPUT_CAP_KEYS
from airflow_provider_kimi.records.rows import REFUSALS, Row

#: The highest cap on an answer that is asked for.
HIGHEST_OUTPUT_CAP = 131_072

_CORRECTION = "\n\nAn earlier answer to this could not be used: {reason}. Answer again, so that it can be used."


def asked_again(row: Row, request: bytes, rounds: int) -> bytes | None:
    """The request by which a row without a usable answer is asked again; None if it is not.

    A row that was cut may answer twice as long, and one whose answer was refused is told why. A row that the content
    filter stopped is asked once more. What was never sent is not asked.

    :param request: As it was sent in the first round.
    :param rounds: How often its shard was asked.
    """
    if row.status in ("failed", "expired", "cancelled", "missing"):
        return request
    if row.status == "filtered":
        return request if rounds == 1 else None
    if row.status == "truncated":
        return _changed(request, lambda body: _with_higher_cap(body, rounds))
    if row.status != "invalid" or row.error_code == "not_sent":
        return None
    if row.error_code not in REFUSALS:
        return request
    return _changed(request, lambda body: _with_reason(body, row.error_message or ""))


def _changed(request: bytes, change: Callable[[Any], Mapping[str, Any] | None]) -> bytes | None:
    fields = msgspec.json.decode(request)
    body = change(fields["body"])
    return None if body is None else msgspec.json.encode(fields | {"body": body})


def _with_higher_cap(body: Mapping[str, Any], rounds: int) -> Mapping[str, Any] | None:
    """Let the answer be twice as long for each round; None if it was as long as is asked for."""
    named = [key for key in OUTPUT_CAP_KEYS if isinstance(body.get(key), int)] or [OUTPUT_CAP_KEYS[0]]
    first = min(body.get(key, DEFAULT_OUTPUT_CAP) for key in named)
    cap = min(first << rounds, HIGHEST_OUTPUT_CAP)
    return None if cap <= first << (rounds - 1) else {**body, **dict.fromkeys(named, cap)}


def _with_reason(body: Mapping[str, Any], reason: str) -> Mapping[str, Any]:
    """Say in the last message of the user why the answer could not be used."""
    messages = list(body["messages"])
    place = max((at for at, message in enumerate(messages) if message.get("role") == "user"), default=None)
    if place is None:
        return body
    said, text = messages[place].get("content"), _CORRECTION.format(reason=reason)
    content = [*said, {"type": "text", "text": text}] if isinstance(said, list) else f"{said or ''}{text}"
    messages[place] = {**messages[place], "content": content}
    return {**body, "messages": messages}
