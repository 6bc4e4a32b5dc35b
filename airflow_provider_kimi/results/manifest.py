"""The manifest of a landed result, from its batches and its tally."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, get_args

from msgspec import UNSET
from msgspec.structs import replace

from airflow_provider_kimi.api.catalogue import PriceList
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import ROW_STATUSES, SAVED_SOURCES, InputChange
from airflow_provider_kimi.records.saved import SavedHeader
from airflow_provider_kimi.records.tags import Tags, TaskIdentity, digest_of, shortened
from airflow_provider_kimi.results.cost import cost_of, sum_of_costs
from airflow_provider_kimi.results.failures import fitted
from airflow_provider_kimi.results.quality import Quality
from airflow_provider_kimi.results.shards import batches_by_shard
from airflow_provider_kimi.results.tally import Tally, total

#: Longer ids are shortened, so that the manifest of many batches fits into an XCom.
_MAX_ID_CHARS = 120

#: Ways in which the input differs from what was asked, in words.
_CHANGES: Mapping[str, str] = {
    "changed": "changed (they keep their answer, not their columns)",
    "removed": "removed (they keep their answer)",
    "added": "added (they were not asked)",
    "not_compared": "not compared (pass key_column, if the create had one)",
}


def build_manifest(
    batches: Sequence[Batch],
    tally: Tally,
    *,
    prices: PriceList,
    guarded_cells: int | None = None,
    landed_by: TaskIdentity | None = None,
    saved: SavedHeader | None = None,
    stored: int = 0,
) -> Manifest:
    """Describe a result before its files have places.

    :param guarded_cells: How many cells of a CSV file have an apostrophe before them; None without that guard.
    :param landed_by: The task instance that lands it; None if it is not known.
    :param saved: Of the rows that were not sent; None if none could be saved.
    :param stored: How many answers are kept for the cache.
    """
    shards = batches_by_shard(batches)
    rounds = rounds_of(batches, tally)
    tags = [Tags.of(of_shard[0]) for of_shard in shards]
    cost, of_realtime = _costs(tally, prices)
    changes = tally.input_changes
    inputs = list(_inputs(tags)) or [saved.fingerprint if saved else None]
    prompts = [tag.prompt_fingerprint for tag in tags] or [saved.prompt_fingerprint if saved else None]
    return Manifest(
        batch_ids=[batch.id for batch in batches],
        status=tally.status,
        model=tally.model,
        counts={"total": tally.total, **{status: tally.counts[status] for status in ROW_STATUSES}},
        usage=tally.total_usage.to_dict(),
        rounds=len(rounds),
        cost=cost,
        realtime=UNSET if of_realtime is None else of_realtime,
        guarded_cells=UNSET if guarded_cells is None else guarded_cells,
        input_fingerprint=inputs[0] if len(inputs) == 1 else digest_of(*inputs),
        prompt_fingerprint=prompts[0],
        created_at=_iso(min((batch.created_at for batch in batches if batch.created_at), default=None)),
        by_round=rounds if len(rounds) > 1 else UNSET,
        completed_at=_iso(max((batch.ended_at for batch in batches if batch.ended_at), default=None)),
        answers=dict(tally.answers),
        failures=tally.failures.named or UNSET,
        saved=UNSET if saved is None else {**{kind: tally.saved[kind] for kind in SAVED_SOURCES}, "stored": stored},
        input_changes=UNSET if changes is None else {change: changes[change] for change in get_args(InputChange)},
        landed_by=UNSET if landed_by is None else identity_of(landed_by),
        **quality_fields(tally.quality),
    )


def quality_fields(quality: Quality | None) -> dict[str, Any]:
    """The fields that say how good the answers are."""
    if quality is None:
        return {}
    return {"labels": quality.named_labels or UNSET, "gold": quality.gold.to_dict() if quality.gold else UNSET}


def _costs(tally: Tally, prices: PriceList) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The cost of all, and what chat calls have brought; None if there were none."""
    cost, of_chat = cost_of(tally.usage, prices, tally.uncounted), tally.realtime
    if not of_chat.rows:
        return cost, None
    realtime = cost_of(of_chat.usage, prices.at_standard_rate, of_chat.uncounted) or {
        **{"currency": prices.currency, "amount": None, "price_list_date": prices.date},
        "reason": "the price of chat calls is not known: name it in the price list, as realtime",
    }
    counted = {"rows": of_chat.rows, "succeeded": of_chat.succeeded}
    whole = sum_of_costs(cost, realtime) if tally.usage else realtime  # no row may be of a batch
    return whole, counted | {
        "usage": total(of_chat.usage.values()).to_dict(),
        "cost": realtime,
    }


def _inputs(tags: Sequence[Tags]) -> Iterator[str | None]:
    """The fingerprint of each shard; the parts of a shard bear that of the shard."""
    seen: set[tuple[str | None, int | None]] = set()
    for tag in tags:
        if tag.part is None or (tag.job_key, tag.shard_number) not in seen:
            yield tag.input_fingerprint
        seen.add((tag.job_key, tag.shard_number))


def rounds_of(batches: Sequence[Batch], tally: Tally) -> list[dict[str, int]]:
    """How many requests each round had, and how many of the usable answers are of it.

    Chat calls are the last round of their shard.
    """
    requests: Counter[int] = Counter({0: 0})
    for of_shard in batches_by_shard(batches):
        requests.update({number: batch.counts.total for number, batch in enumerate(of_shard)})
        if asked := tally.realtime.asked.get(of_shard[0].id):
            requests[len(of_shard)] += asked
    return [{"requests": requests[at], "succeeded": tally.succeeded[at + 1]} for at in sorted(requests)]


def with_files(manifest: Manifest, uris: Mapping[str, str]) -> Manifest:
    """Name the files of a result, and have it fit into an XCom.

    :param uris: The URI of each file by its name.
    """
    fields = {f"{name.split('.')[0]}_file": uri for name, uri in uris.items()}
    return fitted(replace(manifest, **fields))


def identity_of(task: TaskIdentity) -> dict[str, str]:
    """Write a task instance as manifests hold it."""
    return {name: shortened(str(value), _MAX_ID_CHARS) for name, value in asdict(task).items() if value is not None}


def billed(manifest: Manifest) -> str:
    """Say in one line how many tokens are billed, and what they cost."""
    usage, cost = manifest.usage, manifest.cost
    tokens = f"{usage['prompt_tokens']:,} prompt and {usage['completion_tokens']:,} completion tokens"
    if cost is None:
        return f"{tokens}, cost not known: no price of a model is known"
    if cost["amount"] is None:
        return f"{tokens}, cost not known: {cost['reason']}"
    return f"{tokens}, {cost['amount']:,.4f} {cost['currency']}"


def ask_the_rest(manifest: Manifest) -> str:
    """Say how to ask only the rows again that were not done when their batch ended; empty if all were done."""
    undone = {status: rows for status in ("expired", "cancelled") if (rows := manifest.counts.get(status))}
    if not undone or manifest.dead_letter_file is None:
        return ""
    counts = " and ".join(f"{rows:,} {status}" for status, rows in undone.items())
    return (
        f"{counts} rows were not done when their batch ended; those that were done are landed and billed. To ask only "
        "the rest, clear the task that created the batches and those behind it, or give the dead letters to another "
        "KimiBatchOperator as input, without prompt and key_column; not both. They are in "
        f"{manifest.dead_letter_file}."
    )


def changed_input(manifest: Manifest) -> str:
    """Say how the input differs from what was asked; empty if it does not."""
    found = {change: rows for change, rows in (manifest.input_changes or {}).items() if rows}
    if not found:
        return ""
    described = ", ".join(f"{rows:,} {_CHANGES[change]}" for change, rows in found.items())
    return f"The input is not known to be as it was when the batch was created. Of its rows, {described}."


def _iso(epoch_seconds: int | None) -> str | None:
    return None if epoch_seconds is None else datetime.fromtimestamp(epoch_seconds, UTC).isoformat()
