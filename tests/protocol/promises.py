"""What docs/paid-once.md promises, as checks of a step and of the end of a schedule.

Three things are no fault: siblings may leave two batches of the same work if both are waited for or named; a wait whose
attempt was cleared waits no more; and an attempt that pays for fresh work may leave behind what it passed over.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.submission.earlier_work import is_lost
from tests.protocol.actors import Role, State
from tests.protocol.world import World


class BrokenPromise(Exception):
    """A schedule that the protocol does not survive."""


def check_cancel(state: State, role: Role, batch_id: str) -> None:
    """Nothing is cancelled that another live task instance is waiting for, nor that the own one waits for."""
    if any(batch_id in actor.role.waits_for for actor in state.waits() if not actor.is_dead):
        raise BrokenPromise(f"{role} cancels {batch_id}, which was returned and is waited for")


def check_delete(state: State, file_id: str) -> None:
    """A refused create deletes its input only if no create of it is open, and no batch names it."""
    if any(batch.input_file_id == file_id for batch in state.platform.live):
        raise BrokenPromise(f"{file_id} is deleted, and a batch that runs needs it")


def check_return(world: World, state: State, role: Role, returned: Sequence[Batch]) -> None:
    """An attempt returns all rows, once, and neither lost work nor, if it is to pay afresh, work of others."""
    for each in returned:
        batch = state.platform.known(each.id, state.now)
        if batch is None or is_lost(batch):
            raise BrokenPromise(f"{role} returns {each.id}, which is {batch and batch.status}")
        if world.reuse == "never" and Tags.of(batch).attempt != f"{role.instance}:{role.number}":
            raise BrokenPromise(f"{role} returns {each.id} as fresh work, which it did not make")
    names = [name for each in returned if (name := Tags.of(each).shard_name)]
    if not ShardName(1, 1).consists_of(names) or _same_work(returned):
        raise BrokenPromise(f"{role} returns {[str(name) for name in names]}")


def check_end(world: World, state: State) -> None:
    """Work is paid once: one batch of it runs, is waited for or named, and errors say what is uncertain."""
    waited = {batch_id for actor in state.waits() if not actor.is_dead for batch_id in actor.role.waits_for}
    if lost := [batch_id for batch_id in waited if is_lost(_known(state, batch_id))]:
        raise BrokenPromise(f"{lost} are waited for, and were cancelled")
    live = [batch for batch in state.platform.live if not _is_passed_over(world, state, batch, waited)]
    named = waited.union(*(actor.node.named for actor in state.actors))
    is_mapped = world.siblings > 1  # each batch may be what another instance waits for
    if _same_work(live) and not (is_mapped and named >= {batch.id for batch in live}):
        raise BrokenPromise(f"{[batch.id for batch in live]} do the same work; {sorted(waited)} are waited for")
    errors = "".join(actor.node.error for actor in state.actors)
    for batch in live:
        uncertain = (str(batch.input_file_id), str(Tags.of(batch).job_key))
        if batch.id not in named and not any(text in errors for text in uncertain):
            raise BrokenPromise(f"{batch.id} runs, and nobody knows it")
    if not state.waits():
        _check_errors(state)


def _same_work(batches: Iterable[Batch]) -> bool:
    """Whether two of these batches have a row in common."""
    return any(one.meets(other) for one, other in combinations(map(Tags.of, batches), 2))


def _is_passed_over(world: World, state: State, batch: Batch, waited: set[str]) -> bool:
    """Whether fresh work was asked for and returned, whatever earlier attempts have made."""
    returned = {Tags.of(_known(state, batch_id)).attempt for batch_id in waited}
    return world.reuse == "never" and bool(returned) and Tags.of(batch).attempt not in returned


def _known(state: State, batch_id: str) -> Batch:
    return next(stored.batch for stored in state.platform.batches if stored.id == batch_id)


def _check_errors(state: State) -> None:
    """Every attempt that was not killed has failed: it can be retried, or says why not."""
    for actor in state.actors:
        error = actor.node.ended
        if not isinstance(error, KimiError) or error.retryable:
            continue
        if not any(reason in str(error) for reason in ("answered 403", "Nothing was sent", "is not retried")):
            raise BrokenPromise(f"{actor.role} says neither why it failed nor that a retry may help: {error}")
