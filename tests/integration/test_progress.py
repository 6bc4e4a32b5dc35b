"""The XCom `progress`: left out where a task or its connection says so, and harmless where its backend is slow."""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.decorators.kimi_batch import kimi_batch_task
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from airflow_provider_kimi.waiting.pushes import SLOW_SECONDS, TOO_SLOW
from tests.conftest import Connect
from tests.support.requests import submit_prompts
from tests.support.tasks import resume_task, run_task
from tests.support.triggers import fired
from tests.support.waiting import sensor, waited

ROOT = Path(__file__).parents[2]


@dataclass
class Place:
    """A task instance, as a trigger knows it."""

    dag_id: str = "d"
    task_id: str = "wait"
    run_id: str = "r"
    map_index: int = -1


def shown_by(trigger: Any) -> bool:
    """Whether a trigger is to show progress."""
    assert isinstance(trigger, KimiBatchTrigger)
    return trigger.watch.progress


@pytest.mark.parametrize(
    ("parameters", "extra", "shown"),
    [
        ({}, {}, True),
        ({"progress": False}, {}, False),
        ({}, {"progress": False}, False),
        ({"progress": True}, {"progress": "false"}, False),
        ({"progress": False}, {"progress": True}, False),
    ],
)
def test_a_task_or_its_connection_leaves_progress_out(
    sim: KimiSimulator, connect: Connect, parameters: dict[str, Any], extra: dict[str, Any], shown: bool
) -> None:
    hook = connect(sim, **extra)
    (batch_id,) = submit_prompts(hook, 2).batch_ids
    task = sensor(batch_id, **parameters)
    waiting = run_task(task)
    assert waiting.deferred is not None
    assert shown_by(waiting.deferred.trigger) is shown
    sim.advance(60)
    event = asyncio.run(waited(hook, sim, Watch((batch_id,), 30.0, sim.now() + 60)))
    assert ("progress" in resume_task(task, event.to_dict()).ti.xcoms) is shown
    assert ("progress" in run_task(task).ti.xcoms) is shown


def test_the_whole_job_and_the_decorator_leave_progress_out_too(hook: KimiHook, tmp_path: Path) -> None:
    parts: dict[str, Any] = {"output": str(tmp_path), "request_params": {"max_tokens": 2000}, "progress": False}
    function: Any = kimi_batch_task(lambda: ["good", "bad"], task_id="label", **parts)
    for task in (KimiBatchOperator(task_id="job", input=["good", "bad"], **parts), function().operator):
        waiting = run_task(task)
        assert waiting.deferred is not None
        assert not shown_by(waiting.deferred.trigger)
        assert "progress" not in waiting.ti.xcoms


def test_a_connection_that_cannot_be_read_fails_no_wait(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = submit_prompts(hook, 2).batch_ids
    sim.advance(60)
    event = asyncio.run(waited(hook, sim, Watch((batch_id,), 30.0, sim.now() + 60)))
    resumed = resume_task(sensor(batch_id, kimi_conn_id="kimi_gone"), event.to_dict())
    assert resumed.value == [batch_id]
    assert resumed.ti.xcoms["progress"]["statuses"] == {"completed": 1}


def test_a_trigger_that_is_told_to_shows_nothing(sim: KimiSimulator, hook: KimiHook) -> None:
    (batch_id,) = submit_prompts(hook, 2).batch_ids
    sim.advance(60)
    trigger: Any = KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.1, progress=False)
    trigger.task_instance = Place()

    async def nothing_runs() -> None:
        while True:
            assert "kimi-progress" not in {task.get_name() for task in asyncio.all_tasks()}
            await asyncio.sleep(0.01)

    assert fired([trigger], nothing_runs)[0].outcome == "ended"


def seen_with(backend_seconds: float, seconds: float) -> dict[str, Any]:
    """Run waits of a triggerer with an XCom backend that takes so long, until their batches end."""
    backend = {"AIRFLOW__CORE__XCOM_BACKEND": "tests.support.slow_backend.SlowBackend"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.slow_waits", str(seconds)],
        env={**os.environ, **backend, "SLOW_BACKEND_SECONDS": str(backend_seconds)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    assert "never retrieved" not in ran.stderr
    assert "Traceback" not in ran.stderr
    seen: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    print(seen)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("backend_seconds", [5, 3600])
def test_a_slow_xcom_backend_holds_up_no_poll_no_end_and_no_shutdown(backend_seconds: float) -> None:
    begun = time.monotonic()
    seen = seen_with(backend_seconds, seconds=10)
    assert seen["lag"] < 0.2
    assert seen["late"] < 1
    assert seen["polls"] > 10
    assert (len(seen["begun"]), seen["at_once"], seen["on_the_loop"]) == (1, 1, False)
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_pushes_to_a_slow_xcom_backend_become_rarer() -> None:
    seen = seen_with(backend_seconds=0.5, seconds=14)
    begun = seen["begun"]
    assert seen["pushed"] == ["progress"] * len(begun)
    assert len(begun) >= 3
    assert all(after - before >= 2.5 for before, after in zip(begun, begun[1:], strict=False))
    assert seen["at_once"] == 1


def test_the_docs_show_what_the_log_says_of_a_push_that_hangs() -> None:
    page = (ROOT / "docs" / "waiting.md").read_text(encoding="utf-8")
    assert TOO_SLOW % SLOW_SECONDS in " ".join(page.replace("\n> ", "\n").split())
