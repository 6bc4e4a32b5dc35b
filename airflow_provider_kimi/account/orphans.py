"""Orphans: batches of this provider that no run takes care of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.api.standing import standing
from airflow_provider_kimi.records.tags import Tags

#: What to do with orphans: cancel those that run, or land those that have ended.
OrphanAction = Literal["cancel", "harvest"]

#: States of a run that still has tasks to come, which may wait for its batches or land them.
LIVING_RUNS = frozenset({"queued", "running"})


@dataclass(frozen=True)
class Owner:
    """The run that the tags of a batch name."""

    dag_id: str
    run_id: str


@dataclass(frozen=True)
class Orphan:
    """A batch without an owner.

    :param run_state: How its run ended; None if this Airflow has no such run (deleted, or of another Airflow).
    :param running: Whether it runs and is billed; otherwise it has ended and holds answers.
    """

    batch_id: str
    status: str
    dag_id: str
    run_id: str
    task_id: str
    run_state: str | None
    running: bool
    completed: int
    total: int

    def takes(self, action: OrphanAction, unknown_runs: bool) -> bool:
        """Whether an action applies to it."""
        return self.running is (action == "cancel") and (self.run_state is not None or unknown_runs)

    def describe(self) -> str:
        """Say in one line what it is, and how to adopt it."""
        stands = standing(self.batch_id, self.status, RequestCounts(self.total, self.completed))
        adopt = f" To adopt it, clear task {self.task_id} of that run, with downstream." if self.run_state else ""
        return f"Batch {stands}. Its run {self.run_id} of {self.dag_id} is {self.run_state or 'unknown here'}.{adopt}"


def owner_of(batch: Batch) -> Owner | None:
    """Read which run made a batch; None if this provider did not make it."""
    tags = Tags.of(batch)
    return Owner(str(tags.dag_id), str(tags.run_id)) if tags.is_ours else None


def find_orphans(batches: Iterable[Batch], run_states: Mapping[Owner, str | None]) -> list[Orphan]:
    """Pick out batches that run although their run has ended, and answers of runs that did not succeed.

    :param run_states: State of each run; None if this Airflow has no such run.
    """
    orphans = []
    for batch in batches:
        owner = owner_of(batch)
        if owner is None or (state := run_states.get(owner)) in LIVING_RUNS:
            continue
        unread = batch.output_file_id is not None and state != "success"
        if batch.is_terminal and not unread:
            continue
        counts = batch.counts
        orphans.append(
            Orphan(
                batch.id,
                batch.status,
                owner.dag_id,
                owner.run_id,
                Tags.of(batch).task_id or "",
                state,
                not batch.is_terminal,
                counts.completed,
                counts.total,
            )
        )
    return orphans
