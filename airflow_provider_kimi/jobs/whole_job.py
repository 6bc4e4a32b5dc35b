"""A whole job in one task: wait for its batches, land them, and ask again, until there is nothing left to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.choices import OnIncomplete
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.jobs.in_turns import Ended, InTurns
from airflow_provider_kimi.jobs.job_run import JobRun
from airflow_provider_kimi.jobs.last_round import is_made_good
from airflow_provider_kimi.jobs.rounds import Rounds, remedy_of
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.results.landing import Collected
from airflow_provider_kimi.results.manifest import billed
from airflow_provider_kimi.results.next_round import NextRound
from airflow_provider_kimi.results.shortfall import shortfall


@dataclass(frozen=True)
class WholeJob:
    """One job in one try of its task.

    :param in_turns: How its batches are created and waited for.
    :param rounds: How rows are asked again.
    :param max_rounds: How often a row is asked at most.
    :param on_incomplete: What becomes of the task if a batch does not complete.
    """

    run: JobRun
    in_turns: InTurns
    rounds: Rounds
    max_rounds: int
    on_incomplete: OnIncomplete

    def land_saved(self, saved: str) -> dict[str, Any]:
        """Land a result without any batch; return the manifest.

        :param saved: The saved file, which answers every row.
        """
        with airflow_errors(self.run.task):
            collected = self.run.land((), saved=saved)
        return self._concluded(collected, Ended((), BatchEvent("ended", {})))

    def go_on(
        self, batch_ids: Sequence[str], event: BatchEvent | None = None, pending: Pending | None = None
    ) -> dict[str, Any]:
        """Wait and land, round by round; return the manifest.

        :param batch_ids: Those of all rounds so far.
        :param event: The end of the wait, if the task has waited for them already.
        :param pending: What is still to be created of this round; None if that is nothing.
        """
        while True:
            ended = self.in_turns.until_ended(batch_ids, event, pending)
            with TemporaryDirectory(prefix="kimi-round-") as folder:
                collected, requests = self._landed(ended.batch_ids, Path(folder))
                way = self.rounds.way(collected, requests)
                if way == "leave":
                    return self._concluded(collected, ended)
                if way == "realtime":
                    chat_end = self.rounds.by_chat(collected, requests)
                    break
                batch_ids, pending = self.rounds.by_batches(collected.batches, requests, Path(folder))
                event = None
        with TemporaryDirectory(prefix="kimi-round-") as folder:
            collected, _ = self._landed(ended.batch_ids, Path(folder))
        return self._concluded(collected, ended, chat_end)

    def _landed(self, batch_ids: Sequence[str], folder: Path) -> tuple[Collected, Mapping[ShardName, Slice]]:
        """Land, and find the requests that are worth another round, by the name of their shard."""
        next_round = NextRound(folder, self.max_rounds, self.run.cancelled, is_overdue=self.run.is_overdue)
        with airflow_errors(self.run.task), next_round:
            collected = self.run.land(batch_ids, next_round)
        return collected, next_round.requests

    def _concluded(self, collected: Collected, ended: Ended, chat_end: str = "") -> dict[str, Any]:
        """Report, judge and accept the result.

        :param chat_end: Why not every row was asked by a chat call, and how to ask it; empty if all were.
        """
        task, steps = self.run.task, self.run.steps
        with airflow_errors(task):
            self.rounds.spending.settle(self.run.calls, collected.manifest.cost, collected.batches)
            steps.publish(collected)
            if said := self._incomplete(collected, ended, chat_end):
                if ended.unsent or self.on_incomplete == "fail":  # unsent rows are in no file of the result
                    raise KimiBatchError(said)
                task.log.warning("Going on, as on_incomplete='continue' asks. %s", said)
            try:
                steps.judge(collected)
            except KimiBatchError as error:
                raise error.saying(f"{error} {chat_end}".strip()) from None
            if chat_end:  # a clear that asks the others needs the files of the batches
                return collected.manifest.to_dict()
            return steps.accepted(self.run.calls, collected)

    def _incomplete(self, collected: Collected, ended: Ended, chat_end: str) -> str:
        """Say which rows were not asked to the end, and what to do; empty if all were."""
        manifest, deadline = collected.manifest, self.run.rest.deadline
        now = f"What was answered is landed in {manifest.results_file}, for {billed(manifest)}."
        if ended.unsent is not None:
            return (
                f"{ended.unsent.rows:,} rows were not sent, because it is too late for {deadline}. {now} To "
                "send them, set a later finish_by, then clear this task: it attaches to what is there."
            )
        if is_made_good(manifest, collected.batches):
            return ""
        found = shortfall(self.run.calls, ended.event)
        return "" if found is None else f"{found.cause} {now} {self._remedy(collected, chat_end)} {found.details}"

    def _remedy(self, collected: Collected, chat_end: str) -> str:
        if chat_end:
            return chat_end
        if not self.run.is_overdue:
            return remedy_of(collected.batches, self.max_rounds)
        return (
            f"What ran was cancelled because of {self.run.rest.deadline}. To ask for the rows without an answer after "
            "all, set a later finish_by, or allow_realtime=True, then clear this task."
        )
