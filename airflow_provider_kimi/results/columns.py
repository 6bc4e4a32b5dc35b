"""The columns of the input, as the lines of results hold them: JSON, under names that results do not use."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from airflow_provider_kimi.records.rows import RESULT_FIELDS

_encode = msgspec.json.encode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def encoded(row: Mapping[str, Any]) -> bytes:
    """The columns of a row as JSON, without those that hold bytes, which are most likely images."""
    return as_json({key: value for key, value in row.items() if not _is_binary(value)})


def as_json(value: Any) -> bytes:
    """Encode any value: what JSON cannot hold becomes text, NaN and infinity null, half a character `?`."""
    try:
        return _encode(value, enc_hook=str)
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError):  # or more than 64 bits
        plain = json.dumps(value, default=str, skipkeys=True)
        return json.dumps(json.loads(plain, parse_constant=lambda _: None), ensure_ascii=False).encode(
            "utf-8", "replace"
        )


def renamed(columns: bytes) -> bytes:
    """Give columns names that results do not use; empty stays empty."""
    if not columns:
        return columns
    parts = _parts(columns)
    names = _names(tuple(parts))
    return columns if names is None else _encode(dict(zip(names, parts.values(), strict=True)))


@lru_cache(maxsize=64)
def _names(columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """New names for columns; None if they may keep theirs."""
    names: dict[str, None] = {}
    for column in columns:
        name = column
        while name in RESULT_FIELDS or name in names or (name != column and name in columns):
            name = f"input_{name}"
        names[name] = None
    return None if tuple(names) == columns else tuple(names)


def _is_binary(value: object) -> bool:
    """Most likely an image, or several, which are not repeated with every answer."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else (value,)
    return any(isinstance(part, bytes) for part in parts)
