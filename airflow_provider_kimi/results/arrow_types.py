"""The types of Parquet columns, and how values that JSON carries become values of them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.requests.arrow_nesting import inner_types, with_leaves
from airflow_provider_kimi.results.parsed_shape import Fields, ListOf, Shape

if TYPE_CHECKING:
    from pyarrow import DataType

#: Makes a value of JSON one of a type; None where it is one already.
Reader = Callable[[Any], Any]

_json = json.JSONEncoder(ensure_ascii=False).encode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND_DIGITS = 6


def declared(given: Any) -> DataType | None:
    """The type that a column of the input has in the results; None if it holds bytes at any depth.

    Plain types are kept. A dictionary becomes the type of its values; what JSON cannot carry back becomes text.
    """
    return None if _holds_bytes(given) else with_leaves(given, _declared_leaf)


def _holds_bytes(given: Any) -> bool:
    inner = inner_types(given)
    return any(map(_holds_bytes, inner)) if inner else "binary" in str(given) and not _is_uuid(given)


def _is_uuid(given: Any) -> bool:
    return getattr(given, "extension_name", None) == "arrow.uuid"


def _declared_leaf(given: Any) -> DataType:
    import pyarrow
    from pyarrow import types

    is_carried = types.is_primitive(given) and not (types.is_duration(given) or types.is_interval(given))
    return given if is_carried or types.is_decimal(given) or types.is_large_string(given) else pyarrow.string()


def type_of(shape: Shape) -> DataType:
    """The type of an answer of a shape."""
    import pyarrow

    if isinstance(shape, ListOf):
        return pyarrow.list_(type_of(shape.item))
    if isinstance(shape, Fields):
        return pyarrow.struct([(name, type_of(part)) for name, part in shape.fields])
    return pyarrow.type_for_alias("string" if shape == "json" else shape)


def reader_of(wanted: Any) -> Reader | None:
    """What makes a value of JSON, which is not null, a value of a type; None where it needs nothing."""
    from pyarrow import types

    if types.is_struct(wanted):
        return partial(_fields, {field.name: reader_of(field.type) for field in wanted})
    if types.is_map(wanted):
        return partial(_pairs, reader_of(wanted.key_type), reader_of(wanted.item_type))
    if types.is_list(wanted):
        return partial(_elements, reader_of(wanted.value_type))
    readers: tuple[tuple[Callable[[Any], bool], Reader], ...] = (
        (types.is_string, as_text),
        (types.is_large_string, as_text),
        (types.is_integer, _whole),
        (types.is_floating, float),
        (types.is_decimal, Decimal),
        (types.is_date, date.fromisoformat),
        (types.is_time, time.fromisoformat),
        (types.is_timestamp, _nanoseconds if str(wanted).startswith("timestamp[ns") else datetime.fromisoformat),
    )
    return next((read for fits, read in readers if fits(wanted)), None)


def as_text(value: Any) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else _json(value)


def _read(reader: Reader | None, value: Any) -> Any:
    return value if value is None or reader is None else reader(value)


def _fields(readers: Mapping[str, Reader | None], value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _read(reader, value.get(name)) for name, reader in readers.items()}


def _pairs(key: Reader | None, item: Reader | None, value: Any) -> list[tuple[Any, Any]]:
    return [(_read(key, name), _read(item, part)) for name, part in value]


def _elements(reader: Reader | None, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return [_read(reader, part) for part in value]


def _whole(value: Any) -> int:
    """A whole number, which JSON may write as 1.0; pyarrow itself would cut any number."""
    if value.__class__ is int or (isinstance(value, float) and value.is_integer()):
        return int(value)
    raise TypeError("not a whole number")


def _nanoseconds(text: str) -> int:
    """Nanoseconds since 1970, of which Python's own times lose the last three digits."""
    moment = datetime.fromisoformat(text)
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    fraction = text.partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return microseconds * 1_000 + int(digits[_MICROSECOND_DIGITS:].ljust(3, "0")[:3])
