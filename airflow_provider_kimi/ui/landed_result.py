"""The result that a batch is part of, and the DAG that asks its dead letters again, for those who may see them."""

from typing import Any

from fastapi import Request

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.ui.access import GetUserDep, may_read_results, may_start
from airflow_provider_kimi.ui.airflow_records import has_dag, read_landings
from airflow_provider_kimi.ui.task_view import result_with

#: The DAG that asks dead letters again, as the examples name it.
REPLAY_DAG = "example_kimi_replay"


def landed_with(request: Request, user: GetUserDep, batch: Batch, conn_id: str) -> dict[str, Any]:
    """Show the result of the batch's own run that it is part of. Blocks."""
    tags = Tags.of(batch)
    if not (batch.is_terminal and tags.is_ours and tags.dag_id and tags.run_id):
        return {"result": None, "replay_path": None}
    if not may_read_results(request, user, tags.dag_id):
        return {"result": None, "replay_path": None}
    result = result_with(read_landings(tags.dag_id, tags.run_id, batch.id), batch.id, conn_id)
    return {"result": result, "replay_path": replay_path(request, user) if result else None}


def replay_path(request: Request, user: GetUserDep) -> str | None:
    """The DAG that asks dead letters again, below the root of Airflow's UI, if the user may start it. Blocks."""
    return f"dags/{REPLAY_DAG}" if may_start(request, user, REPLAY_DAG) and has_dag(REPLAY_DAG) else None
