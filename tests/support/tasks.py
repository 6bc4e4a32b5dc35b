"""Runs one operator the way a worker does, without a scheduler: render, execute, and resume on a new instance."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from airflow.providers.common.compat.module_loading import import_string
from airflow.providers.common.compat.sdk import BaseOperator, TaskDeferred

from airflow_provider_kimi.compat import SHOWS_PAGES, SHOWS_WITHIN_PAGES
from airflow_provider_kimi.links import BATCH_KEY, CONSOLE_KEY
from tests.support.triggers import fired


@dataclass
class TaskInstanceRecord:
    """What an operator reads of its task instance. It keeps the XComs that are pushed."""

    task_id: str = "label"
    dag_id: str = "reviews"
    run_id: str = "manual__2026-11-23T10:00:00+00:00"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    id: str = field(default_factory=lambda: uuid4().hex)
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom."""
        self.xcoms[key] = value


@dataclass
class Attempt:
    """The outcome of one run of `execute`."""

    ti: TaskInstanceRecord
    value: Any = None
    deferred: TaskDeferred | None = None


def run_task(operator: BaseOperator, ti: TaskInstanceRecord | None = None, **template_variables: object) -> Attempt:
    """Render and execute a copy of an operator, as the first try or as another."""
    task = copy.copy(operator)
    attempt = Attempt(ti or TaskInstanceRecord(task_id=operator.task_id))
    context: Any = {"ti": attempt.ti, **template_variables}
    task.render_template_fields(context)
    try:
        attempt.value = task.execute(context)
    except TaskDeferred as deferred:
        attempt.deferred = deferred
    return attempt


def resume_task(
    operator: BaseOperator,
    event: Mapping[str, Any],
    try_number: int = 1,
    *,
    ti: TaskInstanceRecord | None = None,
    kwargs: Mapping[str, Any] | None = None,
    variables: Mapping[str, object] | None = None,
    method: str = "execute_complete",
) -> Attempt:
    """Resume a fresh copy of a deferred operator with an event, as a worker that has no state of the first half.

    :param kwargs: What the deferral said to give back beside the event.
    :param variables: What else the context has.
    :param method: What resumes it.
    """
    task = copy.copy(operator)
    attempt = Attempt(ti or TaskInstanceRecord(task_id=operator.task_id, try_number=try_number))
    context: Any = {"ti": attempt.ti, **(variables or {})}
    task.render_template_fields(context)
    try:
        attempt.value = getattr(task, method)(context, event, **(kwargs or {}))
    except TaskDeferred as deferred:
        attempt.deferred = deferred
    return attempt


def run_to_end(operator: BaseOperator, ti: TaskInstanceRecord | None = None, **template_variables: object) -> Attempt:
    """Run a task as Airflow does that waits in the triggerer, as often as it does, through its stored arguments."""
    return resume_to_end(operator, run_task(operator, ti, **template_variables))


def resume_to_end(operator: BaseOperator, attempt: Attempt) -> Attempt:
    """Resume a task that has deferred, as often as it does, through its stored arguments."""
    while (deferred := attempt.deferred) is not None:
        path, arguments = deferred.trigger.serialize()
        event = fired([import_string(path)(**json.loads(json.dumps(arguments)))])[0]
        kwargs = json.loads(json.dumps(deferred.kwargs or {}))
        attempt = resume_task(operator, event.to_dict(), ti=attempt.ti, kwargs=kwargs)
    return attempt


def links_of_batch(batch_id: str) -> dict[str, str]:
    """The XComs of the links of a task with one batch."""
    links = {CONSOLE_KEY: "https://platform.kimi.com/console"}
    frame = "/plugin/kimi-batches" if SHOWS_WITHIN_PAGES else ""
    return links | ({BATCH_KEY: f"{frame}/kimi/?batch={batch_id}&conn_id=kimi_default"} if SHOWS_PAGES else {})
