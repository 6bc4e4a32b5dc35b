"""What differs between Airflow versions (2.11 to 3.4)."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NoReturn

from airflow import __version__ as _AIRFLOW
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    Asset,
    AssetAlias,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    XComArg,
    literal,
)

try:
    from airflow.sdk.definitions.context import render_template_to_string
except ImportError:  # Airflow 2
    from airflow.utils.helpers import render_template_to_string  # type: ignore[no-redef]

_VERSION = tuple(int(part) for part in _AIRFLOW.split(".")[:2])

#: Whether this Airflow shows pages of plugins, and whether addresses lead to what is within such a page.
SHOWS_PAGES, SHOWS_WITHIN_PAGES = _VERSION >= (3, 1), _VERSION >= (3, 3)

try:
    from airflow.sdk.exceptions import TaskAwaitingInput
except ImportError:  # Airflow below 3.3
    TaskAwaitingInput = None  # type: ignore[assignment,misc]

#: Whether a task can ask a person: Airflow 3.1 and newer.
CAN_ASK = _VERSION >= (3, 1)

# What is passed on from Airflow, beside the functions below.
__all__ = ["AirflowFailException", "AirflowNotFoundException", "AirflowSensorTimeout", "AirflowSkipException"]
__all__ += ["Asset", "AssetAlias", "BaseHook", "BaseOperator", "BaseOperatorLink"]
__all__ += ["BaseSensorOperator"]
__all__ += ["Context", "PokeReturnValue", "XComArg", "literal"]
__all__ += ["render_template_to_string"]


def running_context() -> Context | None:
    """Return the context of the task that runs in this process; None outside of tasks."""
    from airflow.providers.common.compat.sdk import AirflowException, get_current_context

    try:
        return get_current_context()
    except (AirflowException, RuntimeError):
        return None


def first_poke(context: Context) -> float | None:
    """Read when a rescheduled sensor polled first, in unix seconds; None on its first poll, and on Airflow 2."""
    ti: Any = context.get("ti")
    first = ti.get_first_reschedule_date(context) if hasattr(ti, "get_first_reschedule_date") else None
    return None if first is None else float(first.timestamp())


def task_state(ti: Any) -> str | None:
    """Read the current state of a task instance; None if it no longer exists. Blocks."""
    if hasattr(ti, "current_state"):  # Airflow 2, where a worker asks the database
        return None if (state := ti.current_state()) is None else str(state)
    index = map_index_of(ti)
    return _states(ti, task_ids=[ti.task_id], map_index=None if index < 0 else index).get((ti.task_id, index))


def states_in_run(ti: Any) -> dict[tuple[str, int], str | None]:
    """Read the states of all task instances of a run, by task id and map index. Blocks.

    A task whose id ends like that of a mapped instance is listed as both: Airflow 3 names both in the same way. Only
    of the task itself it is known whether it is mapped.
    """
    if hasattr(ti, "current_state"):  # Airflow 2
        from airflow.models.dagrun import DagRun

        (run,) = DagRun.find(dag_id=ti.dag_id, run_id=ti.run_id)
        return {(one.task_id, one.map_index): one.state for one in run.get_task_instances()}
    return _states(ti)


def _states(ti: Any, **only: Any) -> dict[tuple[str, int], str | None]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    by_run = RuntimeTaskInstance.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], **only)
    states: dict[tuple[str, int], str | None] = {}
    is_mapped = map_index_of(ti) >= 0
    for name, state in (by_run.get(ti.run_id) or {}).items():
        text = None if state is None else str(getattr(state, "value", state))
        mapped, _, index = name.rpartition("_")
        may_be_instance = bool(mapped) and index.isdecimal()
        is_own = may_be_instance and mapped == ti.task_id
        if not (is_own and is_mapped):
            states[name, -1] = text
        if may_be_instance and (is_mapped or not is_own):
            states[mapped, int(index)] = text
    return states


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


def read_xcom(ti: Any, key: str, task_id: str | None = None, map_index: int = -1) -> Any:
    """Read an XCom of the run; None if there is none. Blocks.

    :param task_id: Of the task that pushed it; None for the task instance itself.
    :param map_index: Of its instance; -1 for one that is not mapped.
    """
    from airflow.providers.common.compat.sdk import XCom

    other = {} if task_id is None else {"task_id": task_id, "map_index": map_index}
    return XCom.get_one(key=key, **(_place(ti) | other))


def read_last_return(context: Context) -> Any:
    """Read what a task instance has returned in its latest run up to this one; None if it has not. Blocks.

    In a task loop it is None: Airflow refuses to read what iterations of earlier runs have returned.
    """
    from airflow.providers.common.compat.sdk import XCom

    if loop_iteration(context) is not None:
        return None
    return XCom.get_one(key="return_value", include_prior_dates=True, **_place(context["ti"]))


def push_own_xcom(ti: Any, key: str, value: Any) -> None:
    """Push an XCom of the task that runs. Airflow 3.0 cannot send None, which is what a pull gives without it too."""
    if value is not None or not _AIRFLOW.startswith("3.0."):
        ti.xcom_push(key, value)


def alias_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Make the extra of an alias's event fit: Airflow 2 and 3.0 fail over a mapping in it, so that is JSON there."""
    if not _AIRFLOW.startswith(("2.", "3.0.")):
        return dict(extra)
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in extra.items()}


def push_xcom(ti: Any, key: str, value: Any) -> None:
    """Push an XCom for a task instance that is deferred. Blocks, as long as the XCom backend takes.

    A trigger calls it in a thread, through `sync_to_async`: so Airflow 3.0 and 3.1 send it from their own event loop.
    """
    from airflow.providers.common.compat.sdk import XCom

    XCom.set(key=key, value=value, **_place(ti))


def _place(ti: Any) -> dict[str, Any]:
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": map_index_of(ti)}


def map_index_of(ti: Any) -> int:
    """Read the index of a mapped task instance; -1 for one that is not mapped."""
    return -1 if ti.map_index is None else int(ti.map_index)


def loop_iteration(context: Context) -> int | None:
    """Read which iteration of its loop a task is in, from 0; None outside of loops, and below Airflow 3.4."""
    loop: Any = context.get("loop")
    return None if loop is None else int(loop.index)


def airflow_base_url() -> str | None:
    """Return where Airflow's UI is, as its configuration says."""
    from airflow.providers.common.compat.sdk import conf

    base_url: str | None = conf.get("api", "base_url", fallback=None)
    return base_url


def put_question(ti: Any, subject: str, body: str, options: Sequence[str]) -> bool:
    """Ask a person, at a task instance; whether that is what is shown. Blocks.

    Airflow 3.3 and older go on showing what an earlier try has asked (apache/airflow#73235).

    :param body: In Markdown.
    """
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    further: Any = {"options": list(options), "params": {}, "assigned_users": []}
    shown: Any = SUPERVISOR_COMMS.send(CreateHITLDetailPayload(ti_id=ti.id, subject=subject, body=body, **further))
    return (shown.subject, shown.body) == (subject, body)


def await_answer(
    task: BaseOperator, ti: Any, options: Sequence[str], seconds: float | None, method: str, kwargs: dict[str, Any]
) -> NoReturn:
    """Park a task until the question that was put is answered; from Airflow 3.3 on, without a triggerer.

    :param seconds: How long, at most; None for as long as it takes.
    :param method: Of the task; it gets the answer as `event`, and `kwargs`.
    """
    timeout = None if seconds is None else timedelta(seconds=seconds)
    if TaskAwaitingInput is not None:
        raise TaskAwaitingInput(method_name=method, kwargs=kwargs, timeout=timeout)
    from airflow.providers.standard.triggers.hitl import HITLTrigger  # comes with Airflow 3.1

    until = None if timeout is None else datetime.now(UTC) + timeout
    trigger = HITLTrigger(ti_id=ti.id, options=list(options), params={}, timeout_datetime=until)
    task.defer(trigger=trigger, method_name=method, kwargs=kwargs)


def airflow_stats() -> Any:
    """Return where metrics go. Imported late, because hardly a process sends any."""
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def object_storage_path(uri: str) -> Any:
    """Return a path on any storage that Airflow knows. Imported late, because it loads the file system libraries."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(uri)


def keyword_arguments(function: Callable[..., Any], context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Choose what a function asks of Airflow's context, by the names of its parameters; all of it for `**kwargs`."""
    try:
        from airflow.sdk.bases.decorator import determine_kwargs
    except ImportError:  # Airflow 2
        from airflow.utils.operator_helpers import determine_kwargs  # type: ignore[attr-defined]
    return determine_kwargs(function, (), context)


#: Whether a task can list Variables: from Airflow 3.3 on, and on Airflow 2, where it asks the database.
CAN_LIST_VARIABLES = _VERSION < (3,) or _VERSION >= (3, 3)


#: How many Variables Airflow 3 lists at a time.
VARIABLES_OF_A_PAGE = 1000


def variable_keys(prefix: str) -> list[str]:
    """List the keys of Airflow's Variables that begin so. Blocks.

    Airflow 3 lists them in pages, in order: one that is added meanwhile shifts others to where they are seen again, and
    one that is deleted to where they are not seen. What a second list has not seen is not what the first has not.
    """
    from airflow.providers.common.compat.sdk import Variable

    if hasattr(Variable, "keys"):
        found = list(Variable.keys(prefix=prefix))
        if len(found) >= VARIABLES_OF_A_PAGE:
            found += Variable.keys(prefix=prefix)
        return [key for key in dict.fromkeys(found) if key.startswith(prefix)]
    from airflow.models.variable import Variable as Stored
    from airflow.utils.session import create_session

    with create_session() as session:
        stored = session.query(Stored.key).filter(Stored.key.startswith(prefix, autoescape=True))
        return [key for (key,) in stored]


def read_variable(key: str) -> str | None:
    """Read a Variable as text; None if there is none. Blocks."""
    from airflow.providers.common.compat.sdk import Variable

    value: str | None = Variable.get(key, None)
    return value


def write_variable(key: str, value: str) -> None:
    """Write a Variable. Blocks."""
    from airflow.providers.common.compat.sdk import Variable

    Variable.set(key, value)


def delete_variable(key: str) -> None:
    """Delete a Variable, if it is there. Blocks."""
    from airflow.providers.common.compat.sdk import Variable

    Variable.delete(key)


def instance_state(dag_id: str, run_id: str, task_id: str, map_index: int) -> str | None:
    """Read the state of any task instance; `removed` if there is none, None if it has none yet. Blocks."""
    if _VERSION < (3,):
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        places = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        with create_session() as session:
            found = session.query(TaskInstance.state).filter_by(**places).one_or_none()
        return "removed" if found is None else None if found[0] is None else str(found[0])
    ti = SimpleNamespace(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    states = _states(ti, task_ids=[task_id], map_index=None if map_index < 0 else map_index)
    return states.get((task_id, map_index), "removed")
