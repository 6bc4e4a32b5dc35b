"""Answers of ordinary chat calls, as lines of `realtime.jsonl`: in the form of the platform's own result lines."""

from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_provider_kimi.records.versions import check_version

_encode = msgspec.json.encode


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a line is of.

    :param batch_id: The first batch of its shard, by which the line is known to be of this work and of no other.
    :param version: Of the shape.
    """

    batch_id: str
    version: int = 1


class RealtimeLine(msgspec.Struct, frozen=True):
    """What is needed of a line to give it to its shard."""

    custom_id: str
    response: dict[str, msgspec.Raw]
    realtime: Origin

    @property
    def is_refusal(self) -> bool:
        """Whether the platform refused the row."""
        return self.response.get("status_code") != msgspec.Raw(b"200")


def answer_line(custom_id: str, batch_id: str, body: Mapping[str, Any]) -> bytes:
    """Write an answer.

    :param batch_id: The first batch of the row's shard.
    :param body: The chat completion.
    """
    return _line(custom_id, batch_id, 200, body)


def refusal_line(custom_id: str, batch_id: str, status_code: int, error: Mapping[str, Any]) -> bytes:
    """Write that the platform refused a row, which is not billed."""
    return _line(custom_id, batch_id, status_code, {"error": error})


def _line(custom_id: str, batch_id: str, status_code: int, body: Mapping[str, Any]) -> bytes:
    response = {"status_code": status_code, "request_id": "", "body": body}
    origin = msgspec.to_builtins(Origin(batch_id=batch_id))
    named = {"id": custom_id, "custom_id": custom_id, "response": response, "error": None, "realtime": origin}
    return _encode(named) + b"\n"


def read_line(line: bytes) -> RealtimeLine | None:
    """Read a line; None for one that a kill has cut, or that is not one of these.

    :raises KimiResultError: A later version has written it.
    """
    try:
        read = msgspec.json.decode(line, type=RealtimeLine)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    check_version("Answers of chat calls, beside the result,", read.realtime.version)
    return read
