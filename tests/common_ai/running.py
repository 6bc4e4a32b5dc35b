"""Runs common.ai's operator the way a worker and a triggerer do, through what they store, without a scheduler."""

import asyncio
import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator
from airflow.providers.common.compat.module_loading import import_string
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_kimi.compat import Context
from tests.support.tasks import TaskInstanceRecord

MODEL = "kimi:kimi-k2.6"
NOT_THINKING = {"thinking": {"type": "disabled"}}
GOOD, BAD = "很好，喜欢", "太差"


def operator(folder: Path, requests: Any = (GOOD, BAD), **changes: Any) -> LLMBatchOperator:
    """A task that labels prompts, deferred while it waits."""
    given: dict[str, Any] = {"model_id": MODEL, "llm_conn_id": "kimi_default", "deferrable": True}
    given |= {
        "request_params": NOT_THINKING,
        "task_id": "label",
        "result_path": f"file://{folder}",
        "requests": list(requests),
    }
    return LLMBatchOperator(**(given | changes))


@dataclass
class Landed:
    """What a task returned, and the rows that it wrote."""

    manifest: dict[str, Any]
    rows: list[dict[str, Any]]

    def column(self, name: str) -> list[Any]:
        """A field of all rows, in the order of the requests."""
        return [row[name] for row in sorted(self.rows, key=lambda row: row["index"])]


def run(task: LLMBatchOperator, ti: TaskInstanceRecord | None = None) -> Landed:
    """Run a try of a task to its end."""
    ti = ti or TaskInstanceRecord()
    context = _context(ti)
    try:
        manifest = copy.copy(task).execute(context)
    except TaskDeferred as deferred:
        event = asyncio.run(_event(*deferred.trigger.serialize()))
        manifest = copy.copy(task).execute_complete(context, json.loads(json.dumps(event)))
    lines = Path(manifest["result_uri"].removeprefix("file://")).read_text(encoding="utf-8").splitlines()
    return Landed(json.loads(json.dumps(manifest)), [json.loads(line) for line in lines])


def _context(ti: TaskInstanceRecord) -> Context:
    context: Any = {"ti": ti, "task_instance": ti}
    return context  # type: ignore[no-any-return]


async def _event(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    trigger = import_string(path)(**json.loads(json.dumps(arguments)))
    (event,) = [event async for event in trigger.run()]
    payload: dict[str, Any] = event.payload
    return payload
