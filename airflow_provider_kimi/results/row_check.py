"""A check of the user's own for rows that succeeded: a function that says None, or why a row cannot be used."""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from traceback import walk_tb
from types import MappingProxyType
from typing import Any

from airflow_provider_kimi.choices import RowCheck
from airflow_provider_kimi.files.line_ids import sound
from airflow_provider_kimi.records.rows import BATCH_FIELDS, RESULT_FIELDS, Row

MAX_REASON_CHARS = 200

#: What a fault in a check may come from, by how the input has changed: a row without the columns that it asks for.
_GONE = "; the row has no columns of the input, which changed"
_WITHOUT_COLUMNS = {
    "changed": _GONE,
    "removed": _GONE,
    "not_compared": "; the row may have no columns of the input, with which it could not be compared",
}

_FIELDS = tuple(name for name in RESULT_FIELDS if name not in BATCH_FIELDS)


def read_check(given: Any) -> RowCheck | None:
    """Read the function.

    :raises ValueError: It cannot be called with one row, or what it returns is never None or a reason.
    """
    if given is not None and (why := _why_not(given)):
        raise ValueError(f"check {why}; it must be a function that takes a row and returns None or a reason")
    check: RowCheck | None = given
    return check


def _why_not(given: Any) -> str | None:
    """Why something cannot be a check; None if it can be one."""
    if not callable(given):
        return f"is a {type(given).__name__}"
    if isinstance(given, type):
        return f"is the class {given.__name__}"
    for called in (given, type(given).__call__):
        if inspect.iscoroutinefunction(called):
            return "is an async function"
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            return "is a generator function"
    try:
        inspect.signature(given).bind({})
    except TypeError as error:
        name = getattr(given, "__name__", type(given).__name__)
        return f"is {name!r}, which cannot be called with a row alone ({error})"
    except ValueError:  # a builtin may not say
        return None
    return None


def refusal(check: RowCheck, row: Row, columns: Mapping[str, Any] | None) -> str | None:
    """Ask the function for the reason why a row cannot be used; None if it can.

    :param columns: The columns of the input; None if they are not known.
    """
    try:
        said = check(_shown(row, columns))
    except Exception as error:
        frames = [line for _, line in walk_tb(error.__traceback__)][1:]
        where = f" in line {frames[0]}" if frames else ""
        gone = _WITHOUT_COLUMNS.get(row.input_change or "", "")
        return f"the check raises {type(error).__name__}{where}{gone}"
    if said is None or (isinstance(said, str) and said.strip()):
        return said and sound(said[:MAX_REASON_CHARS])
    kind = "a blank text" if isinstance(said, str) else f"a value of type {type(said).__name__}"
    return f"the check returned {kind}; it must return None for a row that can be used, and a reason for any other"


def _shown(row: Row, columns: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The row as the results hold it; a copy, so that the function changes nothing of them."""
    return MappingProxyType(deepcopy({**(columns or {}), **{name: getattr(row, name) for name in _FIELDS}}))
