"""Builders of request lines and of batches on a simulated platform."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.simulator import Answer, Responder, RowError, label_answer
from airflow_provider_kimi.submission import submit as flow
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.submit import Submission
from tests.support.logs import LogRecord

LABELS = "Answer with exactly one of: positive, negative"
TASK = TaskIdentity("reviews", "manual__1", "label")
ATTEMPT = Attempt(TASK)


def request(custom_id: str = "a", **changes: Any) -> dict[str, Any]:
    """One valid request; `changes` replace its keys, None removes one."""
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}
    return {key: value for key, value in line.items() if value is not None}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows, and return the path as an input."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def order(source: object, **changes: Any) -> Order:
    """An order with sensible values; `changes` are fields of the order or of its recipe."""
    own = {field.name: changes.pop(field.name) for field in fields(Order) if field.name in changes}
    return Order(source, Recipe(own.get("model") or "kimi-k2.6", **changes), **own)


def no_pause(seconds: float) -> None:
    """A sleep that returns at once."""


def submit(
    hook: KimiHook, wanted: Order, attempt: Attempt, log: LogRecord, sleep: Callable[[float], None] = no_pause
) -> Submission:
    """Submit where no attempt races, so that pauses may be skipped."""
    return flow.submit(Calls(hook, log, sleep), wanted, attempt)


def submit_prompts(hook: KimiHook, count: int) -> Submission:
    """Create a batch of simple prompts, `row-00000001` to `row-...`."""
    prompts = [f"Review {number}: 很好, I love it" for number in range(1, count + 1)]
    return submit(hook, order(prompts, system_prompt=LABELS), ATTEMPT, LogRecord())


def spoiling(spoilt: Mapping[str, Answer | RowError | None]) -> Responder:
    """A responder that gives some rows these answers, and labels the rest."""

    def respond(line: Mapping[str, Any]) -> Answer | RowError | None:
        custom_id = line["custom_id"]
        return spoilt[custom_id] if custom_id in spoilt else label_answer(line)

    return respond
