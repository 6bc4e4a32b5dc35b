"""Checks of the parameters of operators, sensors and triggers, which run while the DAG file is parsed."""

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a value that is not one of those allowed."""
    if value not in allowed:
        raise _wrong(name, value, f"one of {', '.join(map(repr, allowed))}")


def check_flag(name: str, value: object) -> None:
    """Refuse anything but True and False: the text "False" would count as True."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")


def check_seconds(name: str, value: timedelta | float, *, may_be_zero: bool = False) -> float:
    """Read a duration in seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds < float("inf") or (seconds == 0 and not may_be_zero):
        raise _wrong(
            name,
            value,
            f"seconds or a timedelta{'' if may_be_zero else ' above zero'}, such as 3600 or timedelta(hours=1)",
        )
    return float(seconds)


def check_whole_number(name: str, value: object, least: int = 1) -> None:
    """Refuse anything but a whole number above zero, or from `least` on."""
    if type(value) is not int or value < least:
        raise _wrong(name, value, "a whole number above zero" if least else "a whole number, zero or more")


def check_texts(**given: object) -> None:
    """Refuse what is not text, by its name; None, and what another task returns, is judged when the task runs."""
    for name, value in given.items():
        if not (value is None or isinstance(value, str) or hasattr(value, "iter_references")):
            raise _wrong(name, value, "text, in quotes")


def check_pairs(name: str, value: object) -> None:
    """Refuse a mapping whose keys and values are not text."""
    for key, text in value.items() if isinstance(value, Mapping) else ():
        check_texts(**{f"a key of {name}": key, f"{name}[{key!r}]": text})


def check_columns(name: str, value: object, kind: str = "column") -> None:
    """Refuse what is neither the name of a column, nor a list of names, nor None.

    :param kind: What has the names.
    """
    names = [value] if isinstance(value, str) else value
    if names is None or (isinstance(names, Sequence) and names and all(isinstance(n, str) and n for n in names)):
        return
    raise _wrong(name, value, f"the name of a {kind}, or a list of names")


def said(value: object) -> object:
    """Read the text of a rendered template as the number or mapping that it says; return any other value as it is."""
    if isinstance(value, str):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return ast.literal_eval(value.strip())
    return value


def said_list(value: Any) -> Any:
    """Read the text of a rendered template that says a list; return any other value as it is."""
    return said(value) if isinstance(value, str) and value.lstrip().startswith("[") else value


def _wrong(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} is {value!r}; it must be {allowed}")


@cache
def keywords_of(function: Callable[..., Any]) -> Sequence[str]:
    """The names of the parameters that a function takes by keyword only."""
    found = inspect.signature(function).parameters
    return [name for name, parameter in found.items() if parameter.kind is parameter.KEYWORD_ONLY]
