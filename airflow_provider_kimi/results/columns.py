"""The columns of the input, as the lines of results hold them: JSON, under names that results do not use."""

import json
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec

from airflow_provider_kimi.requests.values import plain
from airflow_provider_kimi.results.passed_columns import holds_bytes, result_names

_encode = msgspec.json.encode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def encoded(row: Mapping[str, Any]) -> bytes:
    """The columns of a row as JSON, without those that hold bytes, which are most likely images."""
    return as_json({key: value for key, value in row.items() if not holds_bytes(value)})


def not_finite(value: object) -> int:
    """How many numbers JSON cannot hold a value holds at any depth: infinite ones, and what is not a number."""
    if isinstance(value, float):
        return not isfinite(value)
    if isinstance(value, Mapping):
        return sum(map(not_finite, value.values()))
    return sum(map(not_finite, value)) if isinstance(value, list | tuple) else 0


def as_json(value: Any) -> bytes:
    """Encode any value: what JSON cannot hold becomes text, NaN and infinity null, half a character `?`."""
    try:
        return _encode(value, enc_hook=plain)
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError):  # or more than 64 bits
        return json.dumps(plain(value), default=str, ensure_ascii=False).encode("utf-8", "replace")


def renamed(columns: bytes, fields: tuple[str, ...] = ()) -> bytes:
    """Give columns names that results do not use; empty stays empty.

    :param fields: The fields of the results.
    """
    if not columns:
        return columns
    parts = _parts(columns)
    names = _names(tuple(parts), fields)
    return columns if names is None else _encode(dict(zip(names, parts.values(), strict=True)))


@lru_cache(maxsize=64)
def _names(columns: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...] | None:
    """New names for columns; None if they may keep theirs."""
    names = tuple(result_names(columns, fields).values())
    return None if names == columns else names
