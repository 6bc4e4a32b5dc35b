"""The `custom_id` of a line, and whether a line is whole. Lenient where paid answers are odd."""

import json
import re
from typing import Any

import msgspec

#: How the lines of the platform begin.
_NAME_FIRST = re.compile(rb'\s*\{\s*(?:"id"\s*:\s*(?:"[^"\\]*"|null)\s*,\s*)?"custom_id"\s*:\s*"(?P<name>[^"\\]+)"')


class _Id(msgspec.Struct, gc=False):
    custom_id: str


_decode_id = msgspec.json.Decoder(_Id).decode


#: What decoding a line may raise: it is not JSON, or nested too deeply.
UNREADABLE = (ValueError, RecursionError)


def decoded(line: bytes | str) -> Any:
    """Decode JSON, leniently where it must be: half characters, NaN and stray bytes occur in paid answers."""
    try:
        return msgspec.json.decode(line)
    except ValueError:
        text = line if isinstance(line, str) else line.decode("utf-8", "replace")
        return json.loads(text, strict=False)


def id_of(line: bytes) -> str | None:
    """Read a line's `custom_id`; None where the line cannot be read or names none."""
    try:
        return _decode_id(line).custom_id or None
    except UNREADABLE:
        pass
    try:
        fields = decoded(line)
    except UNREADABLE:
        return None
    return text_of(fields.get("custom_id")) if isinstance(fields, dict) else None


def text_of(value: object) -> str | None:
    """Return a text that is not empty; half characters, which no file in UTF-8 can hold, are replaced."""
    return sound(value) if isinstance(value, str) and value else None


def sound(text: str) -> str:
    """Replace half characters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def name_of_unreadable(line: bytes) -> str | None:
    """Read the `custom_id` with which a line begins that is not JSON, because it was cut or is nested too deeply."""
    named = _NAME_FIRST.match(line)
    return None if named is None else named["name"].decode("utf-8", "replace")


def is_whole(line: bytes) -> bool:
    """Whether a line is complete JSON; a file that was cut ends in one that is not."""
    try:
        decoded(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True
