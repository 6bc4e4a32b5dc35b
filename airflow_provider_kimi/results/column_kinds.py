"""The type of a column that nothing declares, by the values that it has."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from airflow_provider_kimi.results.parsed_shape import Plain

_INT64 = range(-(2**63), 2**63)

#: Whole numbers that a floating point column holds exactly.
_EXACT = range(-(2**53), 2**53 + 1)


def kinds_of(rows: Iterable[Mapping[str, Any]], declared: Collection[str]) -> dict[str, set[str]]:
    """The kinds of values of every column, in the order in which the columns come; none for those declared."""
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            found = kinds.get(name)
            if found is None:
                found = kinds[name] = set()
            if name not in declared:
                found.add(_kind_of(value))
    return kinds


def _kind_of(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value not in _EXACT:
        return "long" if value in _INT64 else "big"
    return type(value).__name__


def shape_of(kinds: set[str]) -> Plain:
    """What holds values of these kinds; JSON where no one type does."""
    held = kinds - {"NoneType"}
    if held <= {"str"}:
        return "string"
    if held <= {"int", "long"}:
        return "int64"
    if held <= {"int", "float"}:
        return "float64"
    return "bool" if held == {"bool"} else "json"
