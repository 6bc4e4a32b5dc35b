"""One try of the task that does the whole job: begun, approved, or resumed by its trigger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import AirflowSkipException
from airflow_provider_kimi.context import read_try_number
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.jobs.approval import Approved, answered_late, read_answer
from airflow_provider_kimi.jobs.before_spending import Unapproved
from airflow_provider_kimi.jobs.cost_limit import read_dry_run
from airflow_provider_kimi.jobs.deadline import Deadline
from airflow_provider_kimi.jobs.job_run import JobRun
from airflow_provider_kimi.jobs.last_round import RestTerms
from airflow_provider_kimi.jobs.preview import PreviewJob
from airflow_provider_kimi.jobs.whole_job import WholeJob
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.results.collect import check_place
from airflow_provider_kimi.results.landing import InBudget
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.submit import checked_job
from airflow_provider_kimi.tasks import job_parts as parts
from airflow_provider_kimi.tasks.asking import AskingTask
from airflow_provider_kimi.tasks.landing import LandingTask

if TYPE_CHECKING:
    from airflow_provider_kimi.operators.job import KimiBatchOperator


class WholeJobTask(LandingTask, AskingTask):
    """One try of the task.

    :param operator: Whose parameters say what to do.
    """

    operator: KimiBatchOperator

    _run: JobRun | None = None

    def begin(self, approved: Approved | None = None) -> dict[str, Any]:
        """Submit, wait, land, and ask again what has no usable answer; or only estimate what that would cost.

        :param approved: What a person has approved in this try; None for nothing.
        """
        operator = self.operator
        with airflow_errors(operator):
            is_dry = read_dry_run(operator.is_dry_run)
            self.check_before_paying(lands=not is_dry)
            spending = parts.spending_of(operator, self.context, approved)
            spending.check_budget()
            deadline = parts.deadline_of_task(operator, self.context)
        if is_dry:
            with self.creating() as calls, checked_job(calls, self.order(calls), self.attempt()) as (checked, _):
                return spending.report(checked)
        with airflow_errors(operator):
            check_place(self.landing(()))
            parts.check_comparison(operator)
        self.only_attaches = deadline is not None and deadline.is_over(time.time())
        approve = partial(parts.refuse_late, deadline) if deadline and self.only_attaches else spending.approve
        in_flight = InFlight(operator.max_in_flight, is_pilot=operator.pilot_rows is not None)
        try:
            submission = self.submit(approve, in_flight)
        except Unapproved as unapproved:
            question = unapproved.question
        except KimiError as error:
            spending.release_after(error, self._calls())
            raise
        else:
            job = self._job(deadline, submission.cancelled)
            if submission.saved is not None and isinstance(job, WholeJob):
                return job.land_saved(submission.saved)
            return job.go_on(submission.batch_ids, pending=submission.pending)
        parts.park(operator, self.context, question, operator.approval_timeout, "execute_answered")

    def answered(self, event: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Go on once a person has approved the job.

        :param asked: What was to be approved.
        """
        with airflow_errors(self.operator):
            answer = read_answer(event)
        if not answer.is_approved:
            raise AirflowSkipException(f"Rejected by {answer.by}. Nothing was uploaded or submitted by this attempt.")
        self.log.info("Approved by %s.", answer.by)
        return self.begin(Approved(**asked))

    def resumed(
        self,
        event: dict[str, Any],
        batch_ids: Sequence[str],
        cancelled: Sequence[str],
        pending: dict[str, Any] | None,
        deadline: Mapping[str, float] | None,
    ) -> dict[str, Any]:
        """Go on when the trigger has fired; the parameters are those of `execute_complete`."""
        if late := answered_late(event):
            self.log.warning("%s", late)
        with airflow_errors(self.operator):
            read = None if late else BatchEvent.from_dict(event)
            if read and read.to_come and (pending is None or not read.is_of_try(read_try_number(self.context))):
                # In `dag.test()`; or the task was cleared while it created these, so it has to look for them.
                return self.begin()
            to_create = Pending.from_dict(pending)
            until = Deadline(**deadline) if deadline else parts.deadline_of_task(self.operator, self.context)
            job = self._job(until, cancelled)
        return job.go_on(batch_ids or list(read.batches if read else ()), read, to_create)

    def saving(self, calls: Calls) -> Saving | None:
        """How rows are saved whose answers are there; None if all rows are sent."""
        is_kept = not read_dry_run(self.operator.is_dry_run)
        return parts.saving_of(self.operator, calls.hook.settings.base_url, self.landing(()), is_kept=is_kept)

    def in_budget(self) -> InBudget | None:
        """What the manifest is to say of the budget; None without one."""
        return parts.in_budget_of(self.operator, self.context)

    def kill(self) -> None:
        """Start nothing more that costs money, and cancel what runs if the task is given up; else it is kept."""
        super().kill()
        if self._run is not None:
            self._run.kill()

    def _calls(self) -> Calls:
        return Calls(self.operator.hook, self.log, self.operator._sleep)

    def _job(self, deadline: Deadline | None, cancelled: Sequence[str]) -> WholeJob | PreviewJob:
        """Begin the job, ready for a kill, also for one that has come already.

        :param cancelled: Batches that had been cancelled when the try began.
        """
        operator = self.operator
        rest = RestTerms(operator.min_batch_rows, operator.allow_realtime, deadline)
        run = self._run = JobRun(operator, self, self.context, self._calls(), rest, cancelled, operator.is_killed)
        return parts.job_of(operator, run)
