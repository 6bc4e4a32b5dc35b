"""The values of a Parquet file as Python holds them, and as text where it holds none, so that no column is refused."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from airflow_provider_kimi.requests.arrow_nesting import with_leaves

#: What arrow raises where a cast would lose something, and Python where a value is outside its types.
_NOT_HELD = (NotImplementedError, OverflowError, ValueError)


def rows_of(batch: Any) -> list[dict[str, Any]]:
    """The rows of a record batch, whatever is installed beside arrow.

    A time or a date that Python cannot hold is a text, such as `2026-01-01 08:00:00.123456789`.

    :raises ValueError: A text is damaged.
    """
    if not any(_has_nanoseconds(type_) for type_ in batch.schema.types):
        with suppress(*_NOT_HELD):
            return list(batch.to_pylist())
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


@lru_cache(maxsize=256)
def _has_nanoseconds(given: Any) -> bool:
    return "[ns" in str(given)


def _values(column: Any) -> list[Any]:
    if str(column.type).startswith("timestamp[ns"):
        return list(_moments(column))
    held = _with_microseconds(column.type)
    try:
        return list(column.cast(held).to_pylist())
    except _NOT_HELD:
        return [_value(column.slice(at, 1), held) for at in range(len(column))]


def _moments(column: Any) -> Iterator[Any]:
    """Times of nanoseconds; those of whole microseconds are Python's own."""
    import pyarrow

    since = column.cast("int64").to_pylist()
    whole = [None if at is None else at // 1_000 for at in since]
    moments = pyarrow.array(whole, pyarrow.timestamp("us", column.type.tz)).to_pylist()
    for at, moment in zip(since, moments, strict=True):
        if at is None or not (below := at % 1_000):
            yield moment
        else:
            text = moment.isoformat(" ", "microseconds")
            end = text.index(".") + 7
            yield f"{text[:end]}{below:03}{text[end:]}"


def _value(one: Any, held: Any) -> Any:
    """The value of an array of one; its times are texts if one of them cannot be held."""
    try:
        return one.cast(held).to_pylist()[0]
    except _NOT_HELD:
        return one.cast(_with_texts(one.type)).to_pylist()[0]


@lru_cache(maxsize=256)
def _with_microseconds(given: Any) -> Any:
    return with_leaves(given, _microseconds)


def _microseconds(leaf: Any) -> Any:
    import pyarrow
    from pyarrow import types

    if not _has_nanoseconds(leaf):
        return leaf
    if types.is_timestamp(leaf):
        return pyarrow.timestamp("us", leaf.tz)
    return pyarrow.duration("us") if types.is_duration(leaf) else pyarrow.time64("us")


@lru_cache(maxsize=256)
def _with_texts(given: Any) -> Any:
    """A type with texts for all times and dates."""
    import pyarrow
    from pyarrow import types

    return with_leaves(given, lambda leaf: pyarrow.string() if types.is_temporal(leaf) else leaf)
