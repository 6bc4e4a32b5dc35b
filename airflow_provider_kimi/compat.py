"""The only module that knows where the Airflow versions keep things (2.11 to 3.3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, Literal, Self

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    XComArg,
    literal,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = [
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "BaseTrigger",
    "Context",
    "PokeReturnValue",
    "TriggerEvent",
    "XComArg",
    "as_uri",
    "given",
    "never_rendered",
    "object_storage_path",
    "open_binary",
]


def never_rendered(value: Any) -> Any:
    """Keep Jinja away from a template field's value; references to other tasks are still resolved."""
    if value is None or hasattr(value, "iter_references"):
        return value
    if isinstance(value, Iterator):
        raise ValueError(
            f"a {type(value).__name__} was given, which can be read only once, so a retry would find it empty; give "
            "the function that makes it, not its result: input=rows, without parentheses"
        )
    if callable(value):
        return Given(value)
    if _holds_reference(value):
        raise ValueError(
            "a list of rows may not hold another task's output, nor may a mapping, because nothing inside is rendered; "
            "pass that output itself"
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
    """A function in a template field, which Airflow would call, or show by its address in memory.

    The address differs in every parse of the DAG file, and would make a new version of the DAG each time.
    """

    value: Any

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """Airflow copies the tasks of a DAG when some of them are cleared; what a function holds need not bear it."""
        return self

    def __repr__(self) -> str:
        name = getattr(self.value, "__qualname__", None) or type(self.value).__qualname__
        return f"<{type(self.value).__name__} {name}>"


def given(value: Any) -> Any:
    """Take a function out of its wrapping; leave everything else alone."""
    return value.value if isinstance(value, Given) else value


def as_uri(value: Any) -> Any:
    """Write a path object, local or on object storage, as text; leave everything else alone."""
    return str(value) if isinstance(value, PurePath) or hasattr(value, "protocol") else value


def object_storage_path(uri: str) -> Any:
    """Open a path on any storage that Airflow knows. Imported late: it loads the file system libraries."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(uri)


def open_binary(path: Any, mode: Literal["rb", "wb"]) -> BinaryIO:
    """Open an object storage path, whose own signature is untyped."""
    opened: BinaryIO = path.open(mode)
    return opened
