"""Orphans: batches of this provider that no run takes care of, and doubles of others."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.api.standing import standing
from airflow_provider_kimi.choices import OrphanAction
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import by_age, is_lost

#: States of a run that still has tasks to come, which may wait for its batches or land them.
LIVING_RUNS = frozenset({"queued", "running"})


@dataclass(frozen=True)
class Owner:
    """The run that the tags of a batch name."""

    dag_id: str
    run_id: str


@dataclass(frozen=True)
class Orphan:
    """A batch without an owner, or one whose rows another batch holds too.

    :param run_state: How its run ended, or that it goes on; None if this Airflow has no such run (deleted, or of
        another Airflow).
    :param running: Whether it runs and is billed; otherwise it has ended and holds answers.
    :param double_of: The batch of the same work that counts, which holds these rows too; None if there is none.
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
    double_of: str | None = None

    def takes(self, action: OrphanAction, unknown_runs: bool) -> bool:
        """Whether an action applies to it.

        A run that goes on may wait for any of its batches, also for a double, so its batches are left alone. The
        answers of a run that succeeded are landed.
        """
        if self.run_state in LIVING_RUNS or not (self.run_state is not None or unknown_runs):
            return False
        return self.running if action == "cancel" else not self.running and self.run_state != "success"

    def describe(self) -> str:
        """Say in one line what it is, and how to adopt it."""
        stands = standing(self.batch_id, self.status, RequestCounts(self.total, self.completed))
        run = f"Its run {self.run_id} of {self.dag_id} is {self.run_state or 'unknown here'}."
        if self.double_of is not None:
            return f"Batch {stands}. It is a double of {self.double_of}: the same rows, paid twice. {run}"
        return f"Batch {stands}. {run}{self._remedy()}"

    def _remedy(self) -> str:
        if not self.run_state:
            return ""
        does = "attaches to it" if self.running else "lands its answers, and asks for the rows that have none"
        return f" A clear of task {self.task_id} of that run, with downstream, {does}."


def owner_of(batch: Batch) -> Owner | None:
    """Read which run made a batch; None if this provider did not make it."""
    tags = Tags.of(batch)
    return Owner(str(tags.dag_id), str(tags.run_id)) if tags.is_ours else None


def may_be_orphan(batch: Batch, since: float, dag_ids: Collection[str] | None) -> bool:
    """Whether a batch is ours, of one of these DAGs (None for all), and not known to be older."""
    owner = owner_of(batch)
    if owner is None or (dag_ids is not None and owner.dag_id not in dag_ids):
        return False
    return batch.created_at is None or batch.created_at >= since


def find_doubles(batches: Iterable[Batch]) -> dict[str, str]:
    """Name the batches whose work another one does too, or has done, each with the one that counts.

    These are the live and completed batches of one round of a shard, or of parts of it, but the oldest one. An attempt
    that paid afresh on purpose (`reuse="never"`) is work of its own.
    """
    counting: dict[tuple[object, ...], list[tuple[Tags, Batch]]] = defaultdict(list)
    doubles: dict[str, str] = {}
    for batch in sorted(batches, key=by_age):
        tags = Tags.of(batch)
        if tags.work is None or is_lost(batch):
            continue
        of_shard = counting[tags.job_key, tags.shard_number, tags.attempt]
        older = next((other.id for of_other, other in of_shard if tags.meets(of_other)), None)
        if older is None:
            of_shard.append((tags, batch))
        else:
            doubles[batch.id] = older
    return doubles


def find_orphans(batches: Sequence[Batch], run_states: Mapping[Owner, str | None]) -> list[Orphan]:
    """Pick out batches that run although their run has ended, answers of runs that did not succeed, and doubles.

    :param run_states: State of each run; None if this Airflow has no such run.
    """
    doubles = find_doubles(batches)
    orphans = []
    for batch in batches:
        owner = owner_of(batch)
        if owner is None:
            continue
        state, double_of = run_states.get(owner), doubles.get(batch.id)
        if double_of is None and not _is_orphan(batch, state):
            continue
        orphans.append(
            Orphan(
                batch.id,
                batch.status,
                owner.dag_id,
                owner.run_id,
                Tags.of(batch).task_id or "",
                state,
                not batch.is_terminal,
                batch.counts.completed,
                batch.counts.total,
                double_of,
            )
        )
    return orphans


def _is_orphan(batch: Batch, run_state: str | None) -> bool:
    if run_state in LIVING_RUNS:
        return False
    return not batch.is_terminal or (batch.output_file_id is not None and run_state != "success")
