"""The only module that knows where the Airflow versions keep things (2.11 to 3.3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import Any, BinaryIO, Literal, Self

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    Asset,
    AssetAlias,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    XComArg,
    literal,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2, which has no asset watchers
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment,misc]

__all__ = [
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "BaseEventTrigger",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "BaseTrigger",
    "Context",
    "PokeReturnValue",
    "TriggerEvent",
    "XComArg",
    "as_uri",
    "check_choice",
    "check_seconds",
    "first_poke",
    "given",
    "never_rendered",
    "object_storage_path",
    "open_binary",
    "own_xcom",
    "push_xcom",
    "run_state",
    "task_state",
]


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a parameter's value while the DAG file is parsed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it may be one of {', '.join(map(repr, allowed))}")


def check_seconds(name: str, value: timedelta | float) -> float:
    """Read a duration in seconds, and refuse one that is none while the DAG file is parsed."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (is_number and 0 < seconds < float("inf")):
        raise ValueError(f"{name} is {value!r}; give seconds or a timedelta above zero")
    return float(seconds)


def first_poke(context: Context) -> float | None:
    """Read when a rescheduled sensor looked first, in unix seconds; None if this is the first time, or on Airflow 2."""
    ti: Any = context.get("ti")
    first = ti.get_first_reschedule_date(context) if hasattr(ti, "get_first_reschedule_date") else None
    return None if first is None else float(first.timestamp())


def task_state(ti: Any) -> str | None:
    """Read the state that a task instance has now; None where there is no such task instance any more. Blocks."""
    if hasattr(ti, "current_state"):  # Airflow 2, where a worker asks the database
        return None if (state := ti.current_state()) is None else str(state)
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, map_index=index, task_ids=[ti.task_id], run_ids=[ti.run_id]
    )
    of_run = states.get(ti.run_id) or {}
    state = of_run.get(ti.task_id if index is None else f"{ti.task_id}_{index}")
    return None if state is None else str(getattr(state, "value", state))


def run_state(dag_id: str, run_id: str) -> str | None:
    """Read the state of a run; None where this Airflow knows no such run. Blocks."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:  # Airflow 2, where a worker asks the database
        from airflow.models.dagrun import DagRun

        found = DagRun.find(dag_id=dag_id, run_id=run_id)
        return str(found[0].state) if found else None
    counted = RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[run_id])
    return RuntimeTaskInstance.get_dagrun_state(dag_id, run_id) if counted else None


def own_xcom(ti: Any, key: str) -> Any:
    """Read what a task instance has pushed itself; None where it has not. Blocks."""
    from airflow.providers.common.compat.sdk import XCom

    index = -1 if ti.map_index is None else ti.map_index
    return XCom.get_one(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=index, key=key)


async def push_xcom(ti: Any, key: str, value: Any) -> None:
    """Push an XCom for a task instance that is deferred."""
    from airflow.providers.common.compat.sdk import XCom

    index = -1 if ti.map_index is None else ti.map_index
    place = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": index}
    if hasattr(XCom, "aset"):
        await XCom.aset(key=key, value=value, **place)
    else:  # below Airflow 3.3, where calls from several threads at once would cross
        await sync_to_async(XCom.set)(key=key, value=value, **place)


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


def open_binary(path: Any, mode: Literal["rb", "wb"], block_bytes: int | None = None) -> BinaryIO:
    """Open an object storage path, whose own signature is untyped.

    :param block_bytes: Size of the pieces in which a storage is written; None leaves it to the storage.
    """
    opened: BinaryIO = path.open(mode, **({} if block_bytes is None else {"block_size": block_bytes}))
    return opened
