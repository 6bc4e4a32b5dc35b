"""The name of a row: its key as the `custom_id` where that is safe, else a short name made from the key.

The platform documents neither a length nor a charset of `custom_id`. A key that any service would accept is sent
unchanged. Any other is mapped to the same name on every run, so that results find their rows again.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from airflow_provider_kimi.choices import KeyColumns
from airflow_provider_kimi.requests.problems import RowProblem, listed
from airflow_provider_kimi.requests.values import native

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_PLAIN_PART = re.compile(r"[A-Za-z0-9._-]+")
_ODD = re.compile(r"[^A-Za-z0-9._:-]+")

#: Types that make a key; other types of a table can be written in several ways.
_KEY_TYPES = (str, int, float, Decimal, datetime, date, time, UUID)


def custom_id_of(row: object, number: int, key_column: KeyColumns | None) -> str:
    """Name a row.

    :param number: Its place in the input, from 1, which names it if there is no key column.
    :raises RowProblem: A key is missing, empty, or of a type that cannot be a key.
    """
    if key_column is None:
        return name_of_place(number)
    if isinstance(key_column, str):
        key = row.get(key_column) if isinstance(row, dict) else None
        if type(key) is str and _PLAIN.fullmatch(key):
            return key
        return _named(_key(row, key_column))
    parts = [_key(row, column) for column in key_column]
    if len(parts) == 1:
        return _named(parts[0])
    joined = ":".join(parts)
    if all(map(_PLAIN_PART.fullmatch, parts)) and _PLAIN.fullmatch(joined):
        return joined
    return _mapped(joined, msgspec.json.encode(parts))


def name_of_place(number: int) -> str:
    """Name a row without a key by its place in the input, from 1."""
    return f"row-{number:08d}"


def are_plain(keys: Sequence[str]) -> bool:
    """Whether all keys are sent unchanged.

    :raises TypeError: One is not text.
    """
    return all(type(key) is str for key in keys) and None not in map(_PLAIN.fullmatch, keys)


def _key(row: object, column: str) -> str:
    if not isinstance(row, Mapping) or column not in row:
        columns = f"; it has {listed(row)}" if isinstance(row, Mapping) else ""
        raise RowProblem(f"has no key column {column!r}{columns}")
    key: Any = native(row[column])
    if key is None or (isinstance(key, str) and not key.strip()):
        raise RowProblem(f"has an empty key in column {column!r}")
    if isinstance(key, bool) or not isinstance(key, _KEY_TYPES):
        raise RowProblem(
            f"has a {type(key).__name__} as its key in column {column!r}; a key is text, a number, a date or a UUID"
        )
    if isinstance(key, float) and key.is_integer():
        key = int(key)  # pandas makes floats of whole numbers that have a gap among them
    text = key.isoformat() if isinstance(key, date | time) else str(key)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowProblem(f"has half a character (a lone surrogate) in its key in column {column!r}") from None
    return text


def _named(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else _mapped(key, key.encode())


def _mapped(key: str, whole: bytes) -> str:
    """Join readable characters and a digest; no plain key has the `~` between them."""
    stem = _ODD.sub("-", key)[:24].strip("-.:_") or "key"
    return f"{stem}~{hashlib.sha256(whole).hexdigest()[:32]}"
