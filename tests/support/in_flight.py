"""The one task while some of its batches are still to be created, resumed without the time that a trigger takes."""

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.rounds import ended
from tests.support.tasks import Attempt, TaskInstanceRecord, resume_task, run_task


def running(sim: KimiSimulator) -> int:
    return sum(sim.status(batch_id) not in ("completed", "failed", "expired", "cancelled") for batch_id in sim.batches)


def event_of(attempt: Attempt, number: int = 1) -> BatchEvent:
    """The event of a trigger whose batches stand as they do now."""
    assert attempt.deferred is not None
    _, arguments = attempt.deferred.trigger.serialize()
    event = ended(arguments["batch_ids"], number)
    return BatchEvent("ended", event.batches, try_number=number, to_come=arguments["to_come"])


def resumed(task: Any, sim: KimiSimulator, attempt: Attempt, number: int = 1, **variables: Any) -> Attempt:
    """Resume a task some time later."""
    sim.advance(100)
    assert attempt.deferred is not None
    kwargs = json.loads(json.dumps(attempt.deferred.kwargs))
    event = event_of(attempt, number).to_dict()
    return resume_task(task, event, number, ti=attempt.ti, kwargs=kwargs, variables=variables)


def to_end(
    task: Any,
    sim: KimiSimulator,
    attempt: Attempt | None = None,
    number: int = 1,
    at: Callable[[], None] = lambda: None,
) -> Attempt:
    """Run a try to its end."""
    attempt = attempt or run_task(task, TaskInstanceRecord(task_id=task.task_id, try_number=number))
    while attempt.deferred is not None:
        at()
        attempt = resumed(task, sim, attempt, number)
    return attempt
