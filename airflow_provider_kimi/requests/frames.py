"""Rows of data frames, of pandas or polars, which are told by what they can do: neither is imported."""

from collections.abc import Iterator
from typing import Any

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.values import native

#: Rows that are made at once, so that memory stays flat.
_ROWS_AT_ONCE = 1000


def is_frame(value: object) -> bool:
    """Whether a value is a data frame."""
    return any(
        all(hasattr(value, name) for name in names) for names in (("iterrows", "iloc"), ("iter_rows", "to_dicts"))
    )


def rows_of_frame(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a data frame, in order: missing values are None, and an index that has a name is a column."""
    if hasattr(frame, "iter_rows"):
        yield from frame.iter_rows(named=True, buffer_size=_ROWS_AT_ONCE)
        return
    names = [name for name in frame.index.names if name is not None and name not in frame.columns]
    columns = [*map(str, names), *map(str, frame.columns)]
    if repeated := next((name for name in columns if columns.count(name) > 1), None):
        raise KimiInputError(
            f"input is a DataFrame that names the column {repeated!r} twice. Nothing was sent. Rename one of them."
        )
    for begin in range(0, len(frame), _ROWS_AT_ONCE):
        part = frame.iloc[begin : begin + _ROWS_AT_ONCE]
        for row in (part.reset_index(level=names) if names else part).itertuples(index=False, name=None):
            yield dict(zip(columns, map(native, row), strict=True))
