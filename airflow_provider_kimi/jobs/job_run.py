"""The run of a job: one try of its task, as every step of it sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.jobs.last_round import RestTerms
from airflow_provider_kimi.jobs.wait import TaskWait
from airflow_provider_kimi.records.mark import CLOCK_MARGIN_SECONDS
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.results.landing import Collected
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.submission.identity import Attempt

#: XCom key under which the manifest is shown after each round, also of a task that fails.
MANIFEST_KEY = "manifest"


class JobSteps(Protocol):
    """The steps of a job: those of the operators that do one thing each."""

    def creating(self) -> AbstractContextManager[Calls]:
        """Be ready for a kill while batches are created."""

    def order(self, calls: Calls) -> Order:
        """What is to be done."""

    def attempt(self) -> Attempt:
        """Which attempt of which task instance this is."""

    def land(
        self,
        calls: Calls,
        batch_ids: Sequence[str],
        next_round: NextRound | None = None,
        *,
        within: str = "",
        saved: str | None = None,
    ) -> Collected:
        """Land."""

    def publish(self, collected: Collected) -> None:
        """Report to Airflow what was landed."""

    def judge(self, collected: Collected) -> None:
        """Fail or skip if too many rows have no usable answer."""

    def accepted(self, calls: Calls, collected: Collected) -> dict[str, Any]:
        """Delete what is to be deleted, and return the manifest."""


class Creating(NamedTuple):
    """With what batches are created."""

    calls: Calls
    order: Order
    attempt: Attempt


@dataclass
class JobRun:
    """One try of the task of a job.

    :param task: The operator.
    :param calls: With which it reads and lands.
    :param rest: How the last rows may be asked.
    :param cancelled: Batches that had been cancelled when it began; a later cancel ends the rounds.
    :param is_killed: Whether Airflow is ending the task.
    :param wait: The wait that goes on now, for a kill.
    :param has_timed_out: Whether the last wait has ended by its time.
    """

    task: Any
    steps: JobSteps
    context: Context
    calls: Calls
    rest: RestTerms
    cancelled: Sequence[str]
    is_killed: bool = False
    wait: TaskWait | None = field(default=None, init=False)
    has_timed_out: bool = field(default=False, init=False)

    @property
    def is_overdue(self) -> bool:
        """Whether the time for batches is over."""
        return self.rest.is_overdue(self.now())

    def kill(self) -> None:
        """Cancel what runs, if the task is given up while it waits."""
        self.is_killed = True
        if self.wait is not None:
            self.wait.kill()

    def now(self) -> float:
        """Unix seconds; a deadline that has ended the wait has come, whichever machine went by its clock."""
        now, deadline = time.time(), self.rest.deadline
        if self.has_timed_out and deadline is not None and deadline.waits_until - now <= CLOCK_MARGIN_SECONDS:
            return max(now, deadline.waits_until)
        return now

    def order(self) -> Order:
        """What is to be done."""
        return self.steps.order(self.calls)

    @contextmanager
    def creating(self) -> Iterator[Creating]:
        """Be ready for a kill while batches are created."""
        with self.steps.creating() as calls:
            yield Creating(calls, self.steps.order(calls), self.steps.attempt())

    def land(
        self,
        batch_ids: Sequence[str],
        next_round: NextRound | None = None,
        *,
        within: str = "",
        saved: str | None = None,
    ) -> Collected:
        """Land, and show what is spent by now."""
        collected = self.steps.land(self.calls, batch_ids, next_round, within=within, saved=saved)
        self.context["ti"].xcom_push(MANIFEST_KEY, collected.manifest.to_dict())
        return collected
