"""A whole job in one task: wait for its batches, land them, and ask again, until there is nothing left to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.models import TERMINAL_STATUSES
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.jobs.pilot import PILOT_NAME, faults_of_pilot, pilot_failed
from airflow_provider_kimi.jobs.rounds import ask_round, can_be_found, model_of, remedy_of
from airflow_provider_kimi.jobs.wait import OnIncomplete, TaskWait, ToCome, WaitTerms
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.results.failure_limits import FailureLimit
from airflow_provider_kimi.results.landing import Collected
from airflow_provider_kimi.results.manifest import billed
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.shortfall import shortfall
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight, create_pending

#: XCom key under which the manifest is shown after each round, also of a task that fails.
MANIFEST_KEY = "manifest"

#: XCom key under which the batches of the task are shown while it waits.
BATCH_IDS_KEY = "batch_ids"


class JobTask(Protocol):
    """What a job needs of its operator: the steps of the operators that do one thing each."""

    @property
    def log(self) -> Log:
        """Its log."""

    def creating(self, context: Context) -> AbstractContextManager[Calls]:
        """Be ready for a kill while batches are created."""

    def order(self, calls: Calls, context: Context) -> Order:
        """What is to be done."""

    def attempt(self, context: Context) -> Attempt:
        """Which attempt of which task instance this is."""

    def land(
        self,
        calls: Calls,
        context: Context,
        batch_ids: Sequence[str],
        next_round: NextRound | None = None,
        *,
        within: str = "",
    ) -> Collected:
        """Land."""

    def publish(self, context: Context, collected: Collected) -> None:
        """Report to Airflow what was landed."""

    def judge(self, collected: Collected) -> None:
        """Fail or skip if too many rows have no usable answer."""

    def accepted(self, calls: Calls, collected: Collected) -> dict[str, Any]:
        """Delete what is to be deleted, and return the manifest."""


@dataclass
class WholeJob:
    """One job in one try of its task.

    :param calls: With which it reads and lands.
    :param max_rounds: How often a row is asked at most.
    :param on_incomplete: What becomes of the task if a batch does not complete.
    :param in_flight: How many batches may run at a time.
    :param pilot_limits: On the unusable rows of a first batch that decides about the others; None if none does.
    :param wait: The wait that goes on now, for a kill.
    """

    task: JobTask
    context: Context
    calls: Calls
    terms: WaitTerms
    max_rounds: int
    on_incomplete: OnIncomplete
    spending: Spending
    in_flight: InFlight = InFlight()
    pilot_limits: Sequence[FailureLimit] | None = None
    is_killed: bool = False
    wait: TaskWait | None = field(default=None, init=False)

    @property
    def hook(self) -> KimiHook:
        """Where it is done."""
        return self.calls.hook

    def kill(self) -> None:
        """Cancel what runs, if the task is given up while it waits."""
        self.is_killed = True
        if self.wait is not None:
            self.wait.kill()

    def go_on(
        self,
        batch_ids: Sequence[str],
        cancelled: Sequence[str],
        event: BatchEvent | None = None,
        pending: Pending | None = None,
    ) -> dict[str, Any]:
        """Wait and land, round by round; return the manifest.

        :param batch_ids: Those of all rounds so far.
        :param cancelled: Those of them that had been cancelled when this try began; a later cancel ends the rounds.
        :param event: The end of the wait, if the task has waited for them already.
        :param pending: What is still to be created of this round; None if that is nothing.
        """
        while True:
            while pending is not None:
                ended = self._ended(batch_ids, cancelled, event, pending)
                if self._is_pilot(pending):
                    self._check_pilot(batch_ids, pending)
                (batch_ids, pending), event = self._created(batch_ids, ended, pending), None
            ended = self._ended(batch_ids, cancelled, event)
            with TemporaryDirectory(prefix="kimi-round-") as folder:
                next_round = NextRound(Path(folder), self.max_rounds, cancelled)
                with airflow_errors(self.task), next_round:
                    collected = self.task.land(self.calls, self.context, batch_ids, next_round)
                requests = next_round.requests
                self.context["ti"].xcom_push(MANIFEST_KEY, collected.manifest.to_dict())
                if not requests or not self._may_ask(collected, requests):
                    return self._concluded(collected, ended)
                (batch_ids, pending), event = self._asked(collected, requests, Path(folder)), None

    def _ended(
        self,
        batch_ids: Sequence[str],
        cancelled: Sequence[str],
        event: BatchEvent | None,
        pending: Pending | None = None,
    ) -> BatchEvent:
        """Wait in the triggerer, unless the task waits in the worker: for the end of all batches, or for room.

        :param pending: For what there has to be room; None if that is nothing.
        """
        to_come = ToCome()
        if pending:
            to_come = ToCome(len(pending.shards), 1 if self._is_pilot(pending) else self.in_flight.most)
        wait = self.wait = TaskWait(
            self.task, self.context, self.hook, batch_ids, self.terms, shown_as=BATCH_IDS_KEY, to_come=to_come
        )
        if self.is_killed:
            wait.kill()
        with wait:
            resume: dict[str, Any] = {"batch_ids": list(batch_ids), "cancelled": list(cancelled)}
            resume |= {"pending": pending.to_dict()} if pending else {}
            ended = wait.until_ended(**resume) if event is None else wait.resumed(event, **resume)
            wait.show_end(ended)
            with airflow_errors(self.task):
                wait.check(ended)
        self.wait = None
        return ended

    def _is_pilot(self, pending: Pending) -> bool:
        """Whether the batch that exists is the one that decides about the others."""
        return self.pilot_limits is not None and pending.is_all_but_first

    def _check_pilot(self, batch_ids: Sequence[str], pending: Pending) -> None:
        """Land the pilot beside the result that is to come, and go on only if it passes.

        :raises KimiBatchError: It does not.
        """
        with airflow_errors(self.task):
            collected = self.task.land(self.calls, self.context, batch_ids, within=PILOT_NAME)
            manifest, tally = collected.manifest, collected.tally
            self.context["ti"].xcom_push(MANIFEST_KEY, manifest.to_dict())
            rows, spending = tally.asked + pending.rows, self.spending
            limits = self.pilot_limits or ()
            faults = faults_of_pilot(
                tally, manifest.cost, rows, limits, max_cost=spending.max_cost, prices=spending.prices
            )
            if faults:
                raise pilot_failed(faults, tally, manifest, rows)
        self.task.log.info(
            "The pilot passed. %s. The other %s rows are sent now.", tally.summary(), f"{pending.rows:,}"
        )

    def _created(
        self, batch_ids: Sequence[str], ended: BatchEvent, pending: Pending
    ) -> tuple[list[str], Pending | None]:
        """Create what there is room for now."""
        unread = BatchEnd("unknown")
        statuses = {batch_id: ended.batches.get(batch_id, unread).status for batch_id in batch_ids}
        running = sum(status not in TERMINAL_STATUSES for status in statuses.values())
        with self.task.creating(self.context) as calls:
            attempt, room = self.task.attempt(self.context), self.in_flight.room(running)
            return create_pending(calls, self._order(calls), attempt, pending, statuses, room)

    def _may_ask(self, collected: Collected, requests: Mapping[ShardName, Slice]) -> bool:
        """Whether another round can be found again by a later try, and stays within `max_cost`."""
        if not can_be_found(collected.batches):
            self.task.log.warning(
                "Rows without a usable answer are not asked again, because the platform does not show the metadata of "
                "batch %s. Without it, a retry would not find the round, and pay for it once more.",
                collected.batches[0].id,
            )
            return False
        with airflow_errors(self.task):
            model = model_of(collected.batches) or self._order(self.calls).recipe.model
            return self.spending.approve_round(self.calls, collected.manifest.cost, requests, model)

    def _asked(
        self, collected: Collected, requests: Mapping[ShardName, Slice], folder: Path
    ) -> tuple[Sequence[str], Pending | None]:
        with self.task.creating(self.context) as calls:
            attempt = self.task.attempt(self.context)
            made, pending = ask_round(
                calls, self._order(calls), attempt, collected.batches, requests, folder, self.in_flight
            )
            return [batch.id for batch in made], pending

    def _order(self, calls: Calls) -> Order:
        return self.task.order(calls, self.context)

    def _concluded(self, collected: Collected, ended: BatchEvent) -> dict[str, Any]:
        with airflow_errors(self.task):
            self.task.publish(self.context, collected)
            if (found := shortfall(self.calls, ended)) is not None:
                manifest = collected.manifest
                now = f"What was answered is landed in {manifest.results_file}, for {billed(manifest)}."
                if self.on_incomplete == "fail":
                    remedy = remedy_of(collected.batches, self.max_rounds)
                    raise KimiBatchError(f"{found.cause} {now} {remedy} {found.details}")
                self.task.log.warning(
                    "Going on, as on_incomplete='continue' asks. %s %s %s", found.cause, now, found.details
                )
            self.task.judge(collected)
            return self.task.accepted(self.calls, collected)
