"""What rows hold, whatever library made them: numpy, pandas, sqlite3, Pydantic, ... None of them is imported."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

#: Types that hold bytes.
BYTES = bytes | bytearray | memoryview

_ROW_OR_NOT = frozenset((dict, str, list, tuple))
_PYTHON = frozenset((str, int, bool, dict, list, tuple, bytes, date, datetime, type(None)))

#: What pandas and numpy put in the place of a missing value.
_MISSING = frozenset(("NAType", "NaTType", "MaskedConstant"))


def row_of(value: Any) -> Any:
    """Return a row of any library as a dict of its columns; what is not a row stays as it is.

    Rows are mappings, `sqlite3.Row`, named tuples, rows of SQLAlchemy, data classes, and the likes of Pydantic models.
    """
    if type(value) in _ROW_OR_NOT or isinstance(value, type):
        return value
    if hasattr(value, "_asdict"):  # a named tuple, or a row of SQLAlchemy
        return value._asdict()
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {name: value[name] for name in value.keys()}  # noqa: SIM118 - a sqlite3.Row yields its values
    names = _fields(value)
    return value if names is None else {name: getattr(value, name) for name in names}


def is_row(value: object) -> bool:
    """Whether a value is one row, also if it can be iterated over as if it were several."""
    is_mapping = hasattr(value, "keys") and hasattr(value, "__getitem__")
    return is_mapping or hasattr(value, "_asdict") or hasattr(value, "model_dump")


def _fields(value: Any) -> Sequence[str] | None:
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if hasattr(value, "__attrs_attrs__"):
        return [field.name for field in value.__attrs_attrs__]
    return getattr(value, "__struct_fields__", None)  # of msgspec


def native(value: Any) -> Any:
    """Return Python's value for one of numpy or pandas, and None for a missing one; any other stays as it is."""
    kind = type(value)
    if kind in _PYTHON:
        return value
    if kind is float:
        return value if value == value else None
    if kind.__name__ in _MISSING:
        return None
    if hasattr(value, "dtype"):
        return _of_array(value)
    return None if isinstance(value, Decimal) and value.is_nan() else value


def _of_array(value: Any) -> Any:
    if getattr(value, "shape", ()):
        return [native(part) for part in value]
    item = value.item()
    if isinstance(item, int) and value.dtype.kind in "mM":  # nanoseconds, which Python's times do not have
        kind = "datetime64" if value.dtype.kind == "M" else "timedelta64"
        item = value.astype(f"{kind}[us]").item()
    return native(item)


def plain(value: Any, unknown: Callable[[Any], Any] = str) -> Any:
    """Return what JSON can hold for any value, with all that is inside it.

    A missing value and a number that JSON lacks become null; a date, a `Decimal`, a UUID become text. Bytes stay.

    :param unknown: Makes a value of one that has no text of its own.
    """
    value = row_of(native(value))
    if isinstance(value, Mapping):
        return {_name(key): plain(part, unknown) for key, part in value.items()}
    if isinstance(value, Set):
        return sorted((plain(part, unknown) for part in value), key=json.dumps)
    if isinstance(value, Sequence) and not isinstance(value, str | BYTES):
        return [plain(part, unknown) for part in value]
    return plain(value.value, unknown) if isinstance(value, Enum) else _single(value, unknown)


def _single(value: Any, unknown: Callable[[Any], Any]) -> Any:
    if value is None or isinstance(value, bool | BYTES):
        return value
    for kind in (str, int):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, float):
        return float(value) if abs(value) != float("inf") else None
    if isinstance(value, date | time):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if has_text(value) else unknown(value)


def _name(key: Any) -> Any:
    key = plain(key)
    return key if key is None or isinstance(key, str | int | float) else str(key)


def has_text(value: object) -> bool:
    """Whether a value has a text of its own, and not only the address where it lies in memory."""
    kind = type(value)
    is_plain_object = kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    return not (is_plain_object or callable(value) or isinstance(value, Iterator))
