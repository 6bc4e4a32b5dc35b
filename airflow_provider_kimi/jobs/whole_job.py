"""A whole job in one task: wait for its batches, land them, and ask again, until there is nothing left to ask."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.jobs.before_spending import Spending
from airflow_provider_kimi.jobs.deadline import too_late
from airflow_provider_kimi.jobs.last_round import RestTerms, Way, choose, is_made_good, longest_batch
from airflow_provider_kimi.jobs.pilot import PILOT_NAME, faults_of_pilot, pilot_failed
from airflow_provider_kimi.jobs.realtime import RealtimeRound, rows_to_ask
from airflow_provider_kimi.jobs.rounds import ask_round, can_be_found, model_of, remedy_of
from airflow_provider_kimi.jobs.taken_back import take_back
from airflow_provider_kimi.jobs.turns import NOTHING_TO_COME, to_come_of, with_turn
from airflow_provider_kimi.jobs.wait import OnIncomplete, TaskWait, WaitTerms
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.results.failure_limits import FailureLimit
from airflow_provider_kimi.results.landing import Collected
from airflow_provider_kimi.results.manifest import billed
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.realtime import AnswerParts, begin_of_parts
from airflow_provider_kimi.results.shortfall import shortfall
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.in_flight import InFlight
from airflow_provider_kimi.submission.later import create_pending

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
    :param rest: How the last rows may be asked.
    :param in_flight: How many batches may run at a time.
    :param pilot_limits: On the unusable rows of a first batch that decides about the others; None if none does.
    :param wait: The wait that goes on now, for a kill.
    :param unsent: Rows whose batches were not created, because it was too late.
    :param chat_end: Why not every row was asked by a chat call; empty if all were.
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
    rest: RestTerms = RestTerms()
    is_killed: bool = False
    wait: TaskWait | None = field(default=None, init=False)
    chat_end: str = field(default="", init=False)
    unsent: int = field(default=0, init=False)

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
            batch_ids, ended = self._all_ended(batch_ids, cancelled, event, pending)
            with TemporaryDirectory(prefix="kimi-round-") as folder:
                collected, requests = self._landed(batch_ids, cancelled, Path(folder))
                way = self._way(collected, requests)
                if way == "batch" and self._may_ask(collected, requests):
                    (batch_ids, pending), event = self._asked(collected, requests, Path(folder)), None
                    continue
                is_asked = way == "realtime" and self._asked_now(collected, requests)
            if is_asked:
                with TemporaryDirectory(prefix="kimi-round-") as folder:
                    collected, _ = self._landed(batch_ids, cancelled, Path(folder))
            return self._concluded(collected, ended)

    def _landed(
        self, batch_ids: Sequence[str], cancelled: Sequence[str], folder: Path
    ) -> tuple[Collected, Mapping[ShardName, Slice]]:
        """Land, and find the requests that are worth another round, by the number of their shard."""
        is_overdue = self.rest.is_overdue(time.time())
        next_round = NextRound(folder, self.max_rounds, cancelled, is_overdue=is_overdue)
        with airflow_errors(self.task), next_round:
            collected = self.task.land(self.calls, self.context, batch_ids, next_round)
        self.context["ti"].xcom_push(MANIFEST_KEY, collected.manifest.to_dict())
        return collected, next_round.requests

    def _way(self, collected: Collected, requests: Mapping[ShardName, Slice]) -> Way:
        """How the rows of another round are asked."""
        if not requests:
            return "leave"
        rows = sum(content.rows for content in requests.values())
        choice = choose(self.rest, rows, longest_batch(collected.batches), time.time())
        if choice.text:
            self.task.log.warning("%s", choice.text)
        return choice.way

    def _all_ended(
        self,
        batch_ids: Sequence[str],
        cancelled: Sequence[str],
        event: BatchEvent | None,
        pending: Pending | None,
    ) -> tuple[Sequence[str], BatchEvent]:
        """Create what is still to be created as there is room for it, and wait for the end of all batches."""
        while True:
            if pending is not None and event is None:
                pending = with_turn(pending, self.terms.pause_seconds, time.time(), self.calls.jitter())
            ended = self._ended(batch_ids, cancelled, event, pending)
            batch_ids, pending, is_any = take_back(self.calls, ended, batch_ids, pending)
            if pending is None:
                return batch_ids, ended
            if self.rest.is_overdue(time.time()):
                self._leave_unsent(batch_ids, pending)
                pending, event = None, None
                continue
            if not is_any:
                batch_ids, pending = self._created(batch_ids, ended, pending)
            event = None

    def _leave_unsent(self, batch_ids: Sequence[str], pending: Pending) -> None:
        """Create nothing more, since it is too late for that.

        :raises KimiInputError: There is no batch at all.
        """
        self.unsent = pending.rows
        if not batch_ids and self.rest.deadline is not None:
            with airflow_errors(self.task):
                raise too_late(self.rest.deadline)

    def _created(
        self, batch_ids: Sequence[str], ended: BatchEvent, pending: Pending
    ) -> tuple[list[str], Pending | None]:
        """Create what there is room for now, behind a pilot only if that has passed."""
        in_flight = self.in_flight
        if self._is_pilot(batch_ids, pending) and not pending.has_turns:  # else it has passed before
            self._check_pilot(batch_ids, pending)
        elif self.pilot_limits is not None and not batch_ids:
            in_flight = replace(in_flight, is_pilot=True)
        unread = BatchEnd("unknown")
        statuses = {batch_id: ended.batches.get(batch_id, unread).status for batch_id in batch_ids}
        with self.task.creating(self.context) as calls:
            attempt = self.task.attempt(self.context)
            ids, left = create_pending(calls, self._order(calls), attempt, pending, statuses, in_flight)
        if left is not None and self._is_pilot(ids, left) and len(ids) > len(batch_ids):
            left = left.without_turns()
        return ids, left

    def _ended(
        self,
        batch_ids: Sequence[str],
        cancelled: Sequence[str],
        event: BatchEvent | None,
        pending: Pending | None,
    ) -> BatchEvent:
        """Wait in the triggerer, unless the task waits in the worker: for the end of all batches, or for room.

        :param pending: For what there has to be room; None if that is nothing.
        """
        to_come = NOTHING_TO_COME
        if pending:
            is_pilot = self._is_pilot(batch_ids, pending)
            to_come = to_come_of(pending, 1 if is_pilot else self.in_flight.most)
        wait = self.wait = TaskWait(
            self.task, self.context, self.hook, batch_ids, self.terms, shown_as=BATCH_IDS_KEY, to_come=to_come
        )
        if self.is_killed:
            wait.kill()
        with wait:
            resume: dict[str, Any] = {"batch_ids": list(batch_ids), "cancelled": list(cancelled)}
            resume |= {"pending": pending.to_dict()} if pending else {}
            resume |= self.rest.resume
            ended = wait.until_ended(**resume) if event is None else wait.resumed(event, **resume)
            wait.show_end(ended)
            with airflow_errors(self.task):
                wait.check(ended, is_overdue=self.rest.is_overdue(time.time()))
        self.wait = None
        return ended

    def _asked_now(self, collected: Collected, requests: Mapping[ShardName, Slice]) -> bool:
        """Ask rows by chat calls; False if that may not be."""
        if not self._may_ask(collected, requests, self.spending.at_standard_rate):
            return False
        parts = AnswerParts(collected.directory, begin_of_parts(collected.batches))
        chat = RealtimeRound(self.calls, parts, lambda: self.is_killed)
        with airflow_errors(self.task):
            chat.ask(rows_to_ask(requests, collected.batches))
        self.chat_end = chat.unfinished
        log = self.task.log.warning if self.chat_end else self.task.log.info
        log("%s %s", chat.done, self.chat_end)
        return True

    def _is_pilot(self, batch_ids: Sequence[str], pending: Pending) -> bool:
        """Whether what exists decides about the rest: the first batch, or one that ended early and one for its rest."""
        return self.pilot_limits is not None and len(batch_ids) > 0 and pending.is_all_but_first

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

    def _may_ask(
        self, collected: Collected, requests: Mapping[ShardName, Slice], spending: Spending | None = None
    ) -> bool:
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
            return (spending or self.spending).approve_round(self.calls, collected.manifest.cost, requests, model)

    def _asked(
        self, collected: Collected, requests: Mapping[ShardName, Slice], folder: Path
    ) -> tuple[Sequence[str], Pending | None]:
        with self.task.creating(self.context) as calls:
            attempt = self.task.attempt(self.context)
            made, pending = ask_round(
                calls, self._order(calls), attempt, collected.batches, requests, folder, self.in_flight
            )
            return [batch.id for batch in made], pending

    def _remedy(self, collected: Collected) -> str:
        if self.chat_end:
            return self.chat_end
        if not self.rest.is_overdue(time.time()):
            return remedy_of(collected.batches, self.max_rounds)
        return (
            f"What ran was cancelled because of {self.rest.deadline}. To ask for the rows without an answer after all, "
            "set a later finish_by, or allow_realtime=True, then clear this task."
        )

    def _order(self, calls: Calls) -> Order:
        return self.task.order(calls, self.context)

    def _concluded(self, collected: Collected, ended: BatchEvent) -> dict[str, Any]:
        with airflow_errors(self.task):
            self.task.publish(self.context, collected)
            if said := self._incomplete(collected, ended):
                if self.unsent or self.on_incomplete == "fail":  # rows that were not sent are in no file of the result
                    raise KimiBatchError(said)
                self.task.log.warning("Going on, as on_incomplete='continue' asks. %s", said)
            try:
                self.task.judge(collected)
            except KimiBatchError as error:
                raise error.saying(f"{error} {self.chat_end}".strip()) from None
            return self.task.accepted(self.calls, collected)

    def _incomplete(self, collected: Collected, ended: BatchEvent) -> str:
        """Say which rows were not asked to the end, and what to do; empty if all were."""
        manifest = collected.manifest
        now = f"What was answered is landed in {manifest.results_file}, for {billed(manifest)}."
        if self.unsent:
            return (
                f"{self.unsent:,} rows were not sent, because it is too late for {self.rest.deadline}. {now} To send "
                "them, set a later finish_by, then clear this task: it attaches to what is there."
            )
        found = None if is_made_good(manifest, collected.batches) else shortfall(self.calls, ended)
        return "" if found is None else f"{found.cause} {now} {self._remedy(collected)} {found.details}"
