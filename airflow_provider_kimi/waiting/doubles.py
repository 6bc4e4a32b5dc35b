"""Doubles: second batches of the same work, made by a create that was carried out after it was given up.

A batch does not say whether another create for the same work is still open: of its own attempt, of an earlier one, or
of a sibling. The platform carries a create out within a quarter of an hour, if at all, so every wait looks for doubles
at a few late moments.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.standing import COMPLETED_IS_BILLED, standing
from airflow_provider_kimi.records.tags import Tags

#: The index of a task that is not mapped.
UNMAPPED = "-1"

#: When to look, in seconds after a batch was created. The gateway gives a create up after 900 s.
LOOKS_SECONDS = (1200.0, 3600.0)

#: How much earlier than its batch a double may have been created: as long as creates are repeated, and some.
EARLIER_SECONDS = 1800.0


class Double(NamedTuple):
    """A batch that runs beside the one that is waited for.

    :param of: The id of that one.
    :param is_own: Whether the same instance of an unmapped task made both. Else it is only named: an index of a mapped
        task may have moved to other rows, and another task may wait for the batch.
    """

    batch: Batch
    of: str
    is_own: bool


def suspects(batches: Iterable[Batch]) -> list[Batch]:
    """Batches that may have a double: those of this provider."""
    return [batch for batch in batches if batch.created_at is not None and Tags.of(batch).job_key is not None]


def next_look(batches: Iterable[Batch], looked_at: float) -> float:
    """When to look for doubles next, in unix seconds; infinity for never.

    :param batches: All that is waited for.
    :param looked_at: When that was done last; minus infinity if it never was. What was missed meanwhile is made up for
        by one look.
    """
    moments = (batch.created_at + late for batch in suspects(batches) for late in LOOKS_SECONDS if batch.created_at)
    return min((moment for moment in moments if looked_at < moment), default=math.inf)


def earliest_double(batches: Iterable[Batch]) -> float:
    """When the earliest double can have been created, in unix seconds."""
    return min((batch.created_at or 0 for batch in suspects(batches)), default=math.inf) - EARLIER_SECONDS


def find_doubles(ours: Mapping[str, Batch], listed: Iterable[Batch]) -> list[Double]:
    """Find the doubles that have not ended among the batches of the account.

    :param ours: All batches that are waited for, by id.
    """
    originals: dict[tuple[object, ...], list[tuple[str, Tags]]] = defaultdict(list)
    for batch in suspects(ours.values()):
        tags = Tags.of(batch)
        originals[_work_of(tags)].append((batch.id, tags))
    doubles = []
    for batch in listed:
        if batch.id in ours or batch.is_terminal:
            continue
        tags = Tags.of(batch)
        for original, made_by in reversed(originals.get(_work_of(tags), ())):
            if tags.meets(made_by):
                is_own = tags.task == made_by.task and tags.map_index == UNMAPPED
                doubles.append(Double(batch, original, is_own))
                break
    return doubles


def _work_of(tags: Tags) -> tuple[object, ...]:
    """What batches have in common that may have the same rows."""
    return tags.job_key, tags.shard_number, tags.attempt


def in_words(double: Double) -> str:
    """Say what a double is, and what it costs."""
    batch = double.batch
    what = f"{standing(batch.id, batch.status, batch.counts)}: the same work as {double.of}"
    if not double.is_own:
        return f"Batch {what}. It runs and is billed too. Cancel it if no other task waits for it."
    cost = f"{COMPLETED_IS_BILLED}, as are rows that are under way."
    if batch.is_cancellable:
        return f"Batch {what}, made by an earlier create that was carried out late. {cost}"
    return f"Batch {what}, made by an earlier create that was carried out late. It can no longer be cancelled. {cost}"
