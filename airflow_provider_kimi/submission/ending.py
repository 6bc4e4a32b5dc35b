"""Ending: what becomes of the batches of a task that Airflow kills while it creates them."""

import asyncio
from collections.abc import Collection
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.kills.airflow import judge_create
from airflow_provider_kimi.kills.cancels import KILL_SECONDS, acancel_given_up
from airflow_provider_kimi.kills.thread import Kill
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.identity import Attempt

#: How long the thread of a kill waits for the answer that the interrupted code waits for, before it searches.
ANSWER_SECONDS = 2.0


class Ending:
    """The end of an attempt that creates: everything that it has made, or finds of its task instance, is cancelled.

    What this attempt has made comes first, since that needs no search and seconds may be left. Then comes what the list
    shows, and last the batch whose create was on its way when the kill came.

    :param calls: Of the attempt. Its `stop` is set, and lists what the attempt makes.
    :param ti: Airflow's task instance.
    """

    def __init__(self, calls: Calls, ti: Any, attempt: Attempt) -> None:
        self._calls = calls
        self._ti = ti
        self._attempt = attempt
        self._handled: set[str] = set()

    def __call__(self, kill: Kill) -> None:
        """Deal with the batches, if the task is given up."""
        if not self._cancel(self._calls.stop.made):
            return
        kill.is_over(ANSWER_SECONDS)
        self._cancel(self._calls.stop.made)
        self._cancel(self._listed())
        kill.is_over(KILL_SECONDS)
        self._cancel(self._calls.stop.made)

    def _listed(self) -> list[str]:
        try:
            return [batch.id for batch in running_work_of(self._calls, self._attempt)]
        except KimiError as error:
            self._calls.log.warning(
                "Other batches of this task instance could not be searched for: %s KimiOrphanBatchesOperator finds "
                "them later.",
                error,
            )
            return []

    def _cancel(self, batch_ids: Collection[str]) -> bool:
        """Cancel what is new of these and may be cancelled; whether the task is given up."""
        new = [batch_id for batch_id in batch_ids if batch_id not in self._handled]
        self._handled.update(new)
        verdict = judge_create(self._ti, new, self._calls.stop.made)
        asyncio.run(acancel_given_up(self._calls.hook, verdict, {}, self._calls.log))
        return bool(verdict.reason)


def running_work_of(calls: Calls, attempt: Attempt) -> list[Batch]:
    """Find what a task instance has submitted in its run, and a cancel can end."""

    def runs_for_it(batch: Batch) -> bool:
        return batch.is_cancellable and Tags.of(batch).is_of(attempt.task)

    return find_batches(calls, runs_for_it, since=attempt.run_after).batches
