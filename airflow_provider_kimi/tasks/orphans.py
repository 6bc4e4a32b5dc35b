"""How orphans are found, and cancelled or landed."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.account.orphans import Orphan, find_orphans, may_be_orphan, owner_of
from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.api.ids import in_path
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.cancel import cancel_batch
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.compat import Context, run_state
from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.files.locations import check_location
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.links import show_links
from airflow_provider_kimi.operators.orphans import read_dag_ids
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Landing

if TYPE_CHECKING:
    from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator


def treat_orphans(operator: KimiOrphanBatchesOperator, context: Context) -> list[dict[str, Any]]:
    """Search the batches, then act; return what was found and done."""
    with airflow_errors(operator):
        check_location("output", operator.output_directory)
        calls = Calls(KimiHook(operator.kimi_conn_id), operator.log)
        show_links(context, calls.hook)
        orphans = _find(operator, calls, read_dag_ids(operator.dag_ids))
        operator.log.info("%s batches have no owner, or are doubles.", len(orphans))
        report: list[dict[str, Any]] = storable(
            [{**asdict(orphan), "outcome": _treat(operator, calls, orphan)} for orphan in orphans]
        )
        return report


def _find(operator: KimiOrphanBatchesOperator, calls: Calls, dag_ids: Collection[str] | None) -> list[Orphan]:
    since = time.time() - operator.max_age
    search = find_batches(
        calls,
        lambda batch: may_be_orphan(batch, since, dag_ids),
        since=since,
        most=operator.max_batches_searched,
    )
    owners = {owner for batch in search.batches if (owner := owner_of(batch)) is not None}
    states = {owner: run_state(owner.dag_id, owner.run_id) for owner in owners}
    return find_orphans(search.batches, states)


def _treat(operator: KimiOrphanBatchesOperator, calls: Calls, orphan: Orphan) -> str:
    operator.log.warning("%s", orphan.describe())
    if operator.only_list or not orphan.takes(operator.action, operator.unknown_runs):
        return ""
    try:
        if operator.action == "cancel":
            return cancel_batch(calls, orphan.batch_id).status
        output = f"{str(operator.output_directory).rstrip('/')}/{in_path(orphan.batch_id)}"
        collect(calls, Landing([orphan.batch_id], output))
    except KimiError as error:
        operator.log.warning("%s", error)
        return f"not done: {error}"
    return f"landed in {output}"
