"""What Airflow's context says of a running task."""

from __future__ import annotations

from typing import Any

from airflow_provider_kimi.compat import Context, loop_iteration, map_index_of
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.submission.identity import Attempt

#: Key of a run's conf that makes its tasks pay for fresh work.
FORCE_FRESH_KEY = "kimi_force_fresh"


def read_attempt(context: Context) -> Attempt:
    """Read which attempt of which task instance this is."""
    ti: Any = context["ti"]
    number = getattr(ti, "try_number", None) or 1
    last = getattr(ti, "max_tries", None)
    run_after = getattr(context.get("dag_run"), "run_after", None)
    return Attempt(
        TaskIdentity(ti.dag_id, ti.run_id, ti.task_id, map_index_of(ti), loop_iteration(context)),
        number=number,
        mark=str(getattr(ti, "id", None) or f"{ti.run_id} try {number}"),
        is_last=last is None or number > last,
        run_after=run_after.timestamp() if run_after is not None else None,
    )


def read_run_start(context: Context) -> float | None:
    """When the run began, in unix seconds; a clear of a run that has ended begins it anew. None if it is not known."""
    run = context.get("dag_run")
    began = getattr(run, "start_date", None) or getattr(run, "run_after", None)
    return began.timestamp() if began is not None else None


def is_last_try(context: Context) -> bool:
    """Whether the task fails for good if this try fails; true where there is no task instance."""
    return context.get("ti") is None or read_attempt(context).is_last


def read_try_number(context: Context) -> int | None:
    """Read the number of the attempt; None if there is no task instance."""
    number = getattr(context.get("ti"), "try_number", None)
    return number if isinstance(number, int) else None


def wants_fresh(context: Context) -> bool:
    """Whether the conf of the run asks to pay for fresh work; refuse anything but true and false."""
    conf = getattr(context.get("dag_run"), "conf", None) or {}
    value = conf.get(FORCE_FRESH_KEY, False)
    if not isinstance(value, bool):
        raise KimiInputError(
            f"{FORCE_FRESH_KEY} in the conf of this run is {value!r}; it must be true or false. Nothing was sent. "
            "Start another run."
        )
    return value
