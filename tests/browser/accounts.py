"""Accounts as people find them: what is on a platform before anybody opens the page."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator, RowError, Timing, label_answer
from airflow_provider_kimi.simulator.answers import Answer
from tests.support.requests import request

#: So slow that a batch can be found in each status, and that one with the shortest window expires.
SLOW = Timing(validating_seconds=600, working_seconds=46_800, finalizing_seconds=600, cancelling_seconds=600)

ROWS = 40
OF_EACH_STATUS = 25


@dataclass(frozen=True)
class Life:
    """How a batch came into the status that it has now.

    :param age: Seconds since it was created.
    :param cancelled_for: Seconds since it was cancelled; None if it was not.
    :param is_valid: Whether the platform finds nothing wrong with its lines.
    """

    age: float
    cancelled_for: float | None = None
    window: str = "24h"
    is_valid: bool = True


#: The life of the batch number `n` in each status.
LIVES: Mapping[str, Any] = {
    "validating": lambda n: Life(60 + 10 * n),
    "in_progress": lambda n: Life(1_000 + 1_700 * n),
    "finalizing": lambda n: Life(47_500 + 10 * n),
    "completed": lambda n: Life(50_000 + 100 * n),
    "failed": lambda n: Life(3_000 + 60 * n, is_valid=False),
    "expired": lambda n: Life(44_000 + 60 * n, window="12h"),
    "cancelling": lambda n: Life(20_000 + 60 * n, cancelled_for=100 + n),
    "cancelled": lambda n: Life(30_000 + 60 * n, cancelled_for=10_000 + n),
}


def some_rows_fail(line: Mapping[str, Any]) -> Answer | RowError | None:
    """Every tenth row is refused."""
    return RowError("content_filter", "refused") if line["custom_id"].endswith("7") else label_answer(line)


@contextmanager
def hook_of(platform: KimiSimulator) -> Iterator[KimiHook]:
    """A program that shares the account."""
    fields = {"conn_type": "kimi", "host": platform.base_url, "password": platform.api_key}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_KIMI_OUTSIDE", json.dumps(fields))
        yield KimiHook("kimi_outside")


def upload(hook: KimiHook, lines: int, **changes: Any) -> str:
    """Upload a request file, and return its id."""
    content = "\n".join(json.dumps(request(str(n), **changes)) for n in range(lines)).encode()
    return hook.upload_file(BytesIO(content), "rows.jsonl").id


def tags(number: int) -> dict[str, str]:
    """Metadata of a batch: of three DAGs in turn, or of none."""
    dag_id = ("reviews", "news", "tickets", "")[number % 4]
    if not dag_id:
        return {}
    return {
        "airflow_dag_id": dag_id,
        "airflow_run_id": f"scheduled__2026-11-{number % 28 + 1:02}T00:00:00+00:00",
        "airflow_task_id": "label",
        "kimi_job_key": f"{dag_id}-{number}",
        "kimi_model": "kimi-k2.6",
    }


def fill_with_every_status(platform: KimiSimulator) -> None:
    """Create batches in all eight statuses, as many in each. The platform has the timing `SLOW` and stands still."""
    lives = [make(n) for make in LIVES.values() for n in range(OF_EACH_STATUS)]
    now = 0.0
    moments = [(-life.age, number) for number, life in enumerate(lives)]
    moments += [(-life.cancelled_for, number) for number, life in enumerate(lives) if life.cancelled_for]
    with hook_of(platform) as hook:
        files = {True: upload(hook, ROWS), False: upload(hook, ROWS, url="/v1/somewhere/else")}
        ids: dict[int, str] = {}
        for moment, number in sorted(moments):
            platform.advance(moment - now if ids else 0)
            now, life = moment, lives[number]
            if number in ids:
                hook.cancel_batch(ids[number])
            else:
                made = hook.create_batch(files[life.is_valid], completion_window=life.window, metadata=tags(number))
                ids[number] = made.id
    platform.advance(-now)


def fill_with_thousand(platform: KimiSimulator) -> None:
    """Show a thousand batches like one that completed, each with an age of its own."""
    with hook_of(platform) as hook:
        first = hook.create_batch(upload(hook, 1)).id
        platform.advance(100_000)
        assert platform.status(first) == "completed"
        shape: dict[str, Any] = json.loads(hook.get_conn().batches.retrieve(first).model_dump_json())
    created = int(platform.now()) - 90_000
    for n in range(1, 1000):
        odd = {"id": f"batch_{n:024x}", "created_at": created + 60 * n, "metadata": tags(n)}
        platform.add_odd_batch(shape | odd)


#: What a batch of a stranger may hold; the page shows it as text.
STRANGE: list[dict[str, Any]] = [
    {"id": "<script>window.hacked=1</script>", "status": "<img src=x onerror=window.hacked=1>"},
    {"id": "long_" + "b" * 10_240, "status": "in_progress", "request_counts": None, "metadata": None},
    {
        "id": "batch_of_another",
        "status": "paused by hand",
        "input_file_id": "<script>window.hacked=1</script>",
        "output_file_id": "../../../etc/passwd",
        "error_file_id": "javascript:window.hacked=1",
        "request_counts": {"total": None, "completed": -1, "failed": None},
        "metadata": {
            "kimi_job_key": "j",
            "kimi_model": "<iframe srcdoc='<script>top.hacked=1</script>'></iframe>",
            "airflow_dag_id": '"><svg onload=window.hacked=1>',
            "airflow_run_id": "javascript:window.hacked=1",
            "airflow_task_id": "<b>bold</b>",
        },
    },
    {"id": "__proto__", "status": "constructor", "created_at": 1, "metadata": {"airflow_dag_id": "{{ 7*7 }}"}},
]


def fill_with_strange(platform: KimiSimulator) -> None:
    """Show batches that nobody should have been able to create."""
    for shape in STRANGE:
        platform.add_odd_batch(shape)
