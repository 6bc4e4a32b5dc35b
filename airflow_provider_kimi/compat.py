"""What differs between Airflow versions (2.11 to 3.4)."""

from typing import Any

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

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # Airflow below 3.3
    RetryDecision = RetryPolicy = None  # type: ignore[assignment,misc]

# What is passed on from Airflow, beside the functions below.
__all__ = ["AirflowFailException", "AirflowNotFoundException", "AirflowSensorTimeout", "AirflowSkipException"]
__all__ += ["Asset", "AssetAlias", "BaseEventTrigger", "BaseHook", "BaseOperator", "BaseSensorOperator", "BaseTrigger"]
__all__ += ["Context", "PokeReturnValue", "RetryDecision", "RetryPolicy", "TriggerEvent", "XComArg", "literal"]


def first_poke(context: Context) -> float | None:
    """Read when a rescheduled sensor polled first, in unix seconds; None on its first poll, and on Airflow 2."""
    ti: Any = context.get("ti")
    first = ti.get_first_reschedule_date(context) if hasattr(ti, "get_first_reschedule_date") else None
    return None if first is None else float(first.timestamp())


def task_state(ti: Any) -> str | None:
    """Read the current state of a task instance; None if it no longer exists. Blocks."""
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
    """Read the state of a run; None if this Airflow has no such run. Blocks."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:  # Airflow 2, where a worker asks the database
        from airflow.models.dagrun import DagRun

        found = DagRun.find(dag_id=dag_id, run_id=run_id)
        return str(found[0].state) if found else None
    counted = RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[run_id])
    return RuntimeTaskInstance.get_dagrun_state(dag_id, run_id) if counted else None


def own_xcom(ti: Any, key: str) -> Any:
    """Read an XCom that a task instance has pushed itself; None if there is none. Blocks."""
    from airflow.providers.common.compat.sdk import XCom

    return XCom.get_one(key=key, **_place(ti))


async def push_xcom(ti: Any, key: str, value: Any) -> None:
    """Push an XCom for a task instance that is deferred."""
    from airflow.providers.common.compat.sdk import XCom

    if hasattr(XCom, "aset"):
        await XCom.aset(key=key, value=value, **_place(ti))
    else:  # Airflow below 3.3, where calls from several threads would mix
        await sync_to_async(XCom.set)(key=key, value=value, **_place(ti))


def _place(ti: Any) -> dict[str, Any]:
    index = -1 if ti.map_index is None else ti.map_index
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": index}


def object_storage_path(uri: str) -> Any:
    """Return a path on any storage that Airflow knows. Imported late, because it loads the file system libraries."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(uri)
