"""Hive partitions: columns that stand in the names of directories, such as `day=2026-01-01`."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

#: The text that stands for a null.
_NULL = "__HIVE_DEFAULT_PARTITION__"


def is_partition(folder: str) -> bool:
    """Whether the name of a directory holds a column."""
    return folder.find("=") > 0


def columns_of(folders: Sequence[str]) -> dict[str, str | None]:
    """The columns that the names of directories hold.

    :raises ValueError: Two of them hold the same column with different values.
    """
    columns: dict[str, str | None] = {}
    for folder in filter(is_partition, folders):
        name, _, text = folder.partition("=")
        column, value = unquote(name), None if text == _NULL else unquote(text)
        if columns.setdefault(column, value) != value:
            raise ValueError(f"is in two directories of the column {column!r}")
    return columns


def conflict(row: Mapping[str, object], columns: Mapping[str, str | None]) -> str | None:
    """Name a column that a row has too, with another value; None if there is none."""
    return next((name for name, text in columns.items() if name in row and not _is_same(row[name], text)), None)


def _is_same(value: object, text: str | None) -> bool:
    if value is None or text is None:
        return value is text or (value == "" and text is None)  # a CSV file writes null so
    if isinstance(value, bool):
        return str(value).lower() == text.lower()
    if isinstance(value, int | float):
        try:
            return value == float(text)
        except ValueError:
            pass
    return str(value) == text
