"""Checks and wrappers of the parameters of operators, sensors and triggers, which run while the DAG file is parsed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from airflow_provider_kimi.compat import literal


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
        raise _wrong(name, value, f"seconds or a timedelta{'' if may_be_zero else ' above zero'}")
    return float(seconds)


def check_whole_number(name: str, value: object) -> None:
    """Refuse anything but a whole number above zero."""
    if type(value) is not int or value < 1:
        raise _wrong(name, value, "a whole number above zero")


def check_columns(name: str, value: object) -> None:
    """Refuse what is neither the name of a column, nor a list of names, nor None."""
    names = [value] if isinstance(value, str) else value
    if names is None or (isinstance(names, Sequence) and names and all(isinstance(n, str) and n for n in names)):
        return
    raise _wrong(name, value, "the name of a column, or a list of names")


def _wrong(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} is {value!r}; it must be {allowed}")


def never_rendered(value: Any) -> Any:
    """Keep the value of a template field from Jinja; references to other tasks are still resolved."""
    if value is None or hasattr(value, "iter_references"):
        return value
    if isinstance(value, Iterator):
        raise ValueError(
            f"A {type(value).__name__} can be read only once, so a retry would find it empty. Pass the function that "
            "makes it, not its result: input=rows, without parentheses."
        )
    if callable(value):
        return Given(value)
    if _holds_reference(value):
        raise ValueError(
            "A list of rows or a mapping may not hold another task's output, because nothing inside it is rendered. "
            "Pass that output itself."
        )
    return literal(value)


def _holds_reference(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_holds_reference, value))
    return hasattr(value, "iter_references")


@dataclass(frozen=True, repr=False)
class Given:
    """A function in a template field. Unwrapped, Airflow would call it, or show it by its address in memory.

    The address differs in every parse of the DAG file, and each parse would make a new version of the DAG.
    """

    value: Any

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """Airflow copies the tasks of a DAG when some are cleared; what a function holds may not be copyable."""
        return self

    def __repr__(self) -> str:
        name = getattr(self.value, "__qualname__", None) or type(self.value).__qualname__
        return f"<{type(self.value).__name__} {name}>"


def given(value: Any) -> Any:
    """Unwrap a function; return any other value as it is."""
    return value.value if isinstance(value, Given) else value
