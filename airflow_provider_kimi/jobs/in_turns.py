"""Creation in turns: what has found no room is created as there is some, until all batches of a round have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from msgspec.structs import replace as with_fields

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.jobs.deadline import too_late
from airflow_provider_kimi.jobs.job_run import JobRun
from airflow_provider_kimi.jobs.pilot import PILOT_NAME, Pilot
from airflow_provider_kimi.jobs.taken_back import take_back
from airflow_provider_kimi.jobs.turns import NOTHING_TO_COME, to_come_of, with_turn
from airflow_provider_kimi.jobs.wait import TaskWait
from airflow_provider_kimi.jobs.wait_terms import WaitTerms
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.later import create_pending

#: XCom key under which the batches of the task are shown while it waits.
BATCH_IDS_KEY = "batch_ids"


class Ended(NamedTuple):
    """What has come of a round.

    :param batch_ids: All that exist.
    :param event: Their end.
    :param unsent: What was not created, because it was too late; None if that is nothing.
    """

    batch_ids: Sequence[str]
    event: BatchEvent
    unsent: Pending | None = None


@dataclass(frozen=True)
class InTurns:
    """How a task creates its batches and waits for them.

    :param in_flight: How many batches may run at a time.
    :param pilot: Decides whether others follow the first batch; None if nothing does.
    """

    run: JobRun
    terms: WaitTerms
    in_flight: InFlight
    pilot: Pilot | None = None

    def until_ended(self, batch_ids: Sequence[str], event: BatchEvent | None, pending: Pending | None) -> Ended:
        """Create what is still to be created as there is room for it, and wait for the end of all batches.

        :param event: The end of the wait, if the task has waited already.
        :param pending: What is still to be created; None if that is nothing.
        :raises KimiInputError: It is too late, and there is no batch at all.
        """
        calls = self.run.calls
        while True:
            if pending is not None and event is None:
                pending = with_turn(pending, self.terms.pause_seconds, time.time(), calls.jitter())
            ended = self._wait(batch_ids, event, pending)
            batch_ids, pending, is_any = take_back(calls, ended, batch_ids, pending)
            event = None
            if pending is None:
                return Ended(batch_ids, ended)
            if self.run.is_overdue:
                self._check_any(batch_ids)
                if ended.has_ended(batch_ids):
                    return Ended(batch_ids, ended, pending)
            elif not is_any:
                batch_ids, pending = self._created(batch_ids, ended, pending)

    def _check_any(self, batch_ids: Sequence[str]) -> None:
        """Refuse to go on without any batch, where it is too late to create one."""
        deadline = self.run.rest.deadline
        if not batch_ids and deadline is not None:
            with airflow_errors(self.run.task):
                raise too_late(deadline)

    def _created(
        self, batch_ids: Sequence[str], ended: BatchEvent, pending: Pending
    ) -> tuple[Sequence[str], Pending | None]:
        """Create what there is room for now, behind a pilot only if that has passed."""
        in_flight = self.in_flight
        if (pilot := self._deciding(batch_ids, pending)) is not None:
            self._check_pilot(pilot, batch_ids, pending)
            pending = with_fields(pending, has_passed_pilot=True)
        elif self.pilot is not None and not batch_ids:
            in_flight = replace(in_flight, is_pilot=True)
        unread = BatchEnd("unknown")
        statuses = {batch_id: ended.batches.get(batch_id, unread).status for batch_id in batch_ids}
        with self.run.creating() as creating:
            ids, left = create_pending(*creating, pending, statuses, in_flight)
        if left is not None and self._deciding(ids, left) is not None:
            left = left.without_turns()  # its end is waited for
        return ids, left

    def _deciding(self, batch_ids: Sequence[str], pending: Pending) -> Pilot | None:
        """The pilot, if it alone exists and others wait for it. One that ended early has a batch for its rest too."""
        is_alone = len(batch_ids) > 0 and pending.is_all_but_first
        return self.pilot if is_alone and not pending.has_passed_pilot else None

    def _check_pilot(self, pilot: Pilot, batch_ids: Sequence[str], pending: Pending) -> None:
        """Land the pilot beside the result that is to come, and go on only if it passes.

        :raises KimiBatchError: It does not.
        """
        with airflow_errors(self.run.task):
            collected = self.run.land(batch_ids, within=PILOT_NAME)
            pilot.check(collected.tally, collected.manifest, pending.rows)
        self.run.task.log.info(
            "The pilot passed. %s. The other %s rows are sent now.", collected.tally.summary(), f"{pending.rows:,}"
        )

    def _wait(self, batch_ids: Sequence[str], event: BatchEvent | None, pending: Pending | None) -> BatchEvent:
        """Wait in the triggerer, unless the task waits in the worker: for the end of all batches, or for room.

        :param pending: For what there has to be room; None if that is nothing.
        """
        run, to_come = self.run, NOTHING_TO_COME
        if pending is not None and (event is not None or not run.is_overdue):
            is_pilot = self._deciding(batch_ids, pending) is not None
            if is_pilot and event is None and not pending.has_turns:
                run.task.log.info("A pilot comes first. The other %s rows are sent if it passes.", f"{pending.rows:,}")
            to_come = to_come_of(pending, 1 if is_pilot else self.in_flight.most)
        wait = run.wait = TaskWait(
            run.task, run.context, run.calls.hook, batch_ids, self.terms, shown_as=BATCH_IDS_KEY, to_come=to_come
        )
        if run.is_killed:
            wait.kill()
        with wait:
            resume: dict[str, Any] = {"batch_ids": list(batch_ids), "cancelled": list(run.cancelled)}
            resume |= {"pending": pending.to_dict()} if pending else {}
            resume |= run.rest.resume
            ended = wait.until_ended(**resume) if event is None else wait.resumed(event, **resume)
            wait.show_end(ended)
            run.has_timed_out = ended.outcome == "timed_out"
            with airflow_errors(run.task):
                wait.check(ended, is_overdue=self.run.is_overdue)
        run.wait = None
        return ended
