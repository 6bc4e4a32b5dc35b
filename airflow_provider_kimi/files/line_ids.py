"""What a line says: its `custom_id`, whether it is an answer, whether it is whole. Odd answers are paid for too."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

#: The first keys of the platform's lines.
_NAME_FIRST = re.compile(rb'\s*\{\s*(?:"id"\s*:\s*(?:"[^"\\]*"|null)\s*,\s*)?"custom_id"\s*:\s*"(?P<name>[^"\\]+)"')


class _Id(msgspec.Struct, gc=False):
    custom_id: str


_decode_id = msgspec.json.Decoder(_Id).decode

#: What decoding a line may raise: it is not JSON, or nested too deeply. msgspec raises no ValueErrors before 0.21.
UNREADABLE = (ValueError, msgspec.MsgspecError, RecursionError)


def decoded(line: bytes | str) -> Any:
    """Decode JSON, also with half characters, NaN and stray bytes, which paid answers hold."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, msgspec.MsgspecError):
        text = line if isinstance(line, str) else line.decode("utf-8", "replace")
        return json.loads(text, strict=False)


def id_of(line: bytes) -> str | None:
    """Read a line's `custom_id`; None if the line cannot be read or has none."""
    try:
        return _decode_id(line).custom_id or None
    except UNREADABLE:
        pass
    try:
        fields = decoded(line)
    except UNREADABLE:
        return None
    return text_of(fields.get("custom_id")) if isinstance(fields, dict) else None


def is_answer(line: bytes) -> bool:
    """Whether a line holds an answer, which is paid for; one that cannot be read may hold one."""
    if not line or line.isspace():
        return False
    try:
        fields = decoded(line)
        return bool(body_of(fields["response"]["body"])["choices"]) and error_of(fields.get("error")) is None
    except UNREADABLE:
        return True
    except (AttributeError, KeyError, TypeError):
        return False


def body_of(value: object) -> Mapping[str, Any]:
    """Read the body of a response, which may come as the text of a JSON object; empty if it is something else."""
    if isinstance(value, str):
        try:
            value = decoded(value)
        except UNREADABLE:
            return {}
    return value if isinstance(value, dict) else {}


def error_of(value: object) -> object:
    """Read the error that a line names, without the objects around it; None if nothing in it is filled in."""
    while isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    said = value.values() if isinstance(value, dict) else (value,)
    return value if any(part.strip() if isinstance(part, str) else part for part in said) else None


def text_of(value: object) -> str | None:
    """Return a text that is not empty, with half characters replaced: a file in UTF-8 cannot hold them."""
    return sound(value) if isinstance(value, str) and value else None


def sound(text: str) -> str:
    """Replace half characters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def name_of_unreadable(line: bytes) -> str | None:
    """Read the `custom_id` at the start of a line that is not JSON: it was cut, or is nested too deeply."""
    named = _NAME_FIRST.match(line)
    return None if named is None else named["name"].decode("utf-8", "replace")


def is_whole(line: bytes) -> bool:
    """Whether a line is complete JSON. The last line of a file that was cut is not."""
    try:
        decoded(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True
