"""The iterations of a task loop (Airflow 3.4) are tasks of their own: each pays for its work once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.tasks import TaskInstanceRecord, run_task


def in_iteration(index: int, *, try_number: int = 1) -> dict[str, Any]:
    """The context of one iteration, whose task instance is another than that of the others."""
    return {"ti": TaskInstanceRecord(task_id="ask", try_number=try_number), "loop": SimpleNamespace(index=index)}


def create(prompts: list[str]) -> KimiCreateBatchOperator:
    return KimiCreateBatchOperator(task_id="ask", input=prompts)


@pytest.mark.parametrize("prompts", [["second"], ["first"]], ids=["another input", "an equal input"])
def test_an_iteration_submits_beside_the_one_before(connect: Connect, prompts: list[str]) -> None:
    with KimiSimulator(speed=1000) as sim:
        connect(sim)
        first = run_task(create(["first"]), **in_iteration(0)).value
        second = run_task(create(prompts), **in_iteration(1)).value
        assert first != second
        assert [(sim.batches[of[0]].metadata or {})["kimi_iteration"] for of in (first, second)] == ["0", "1"]


def test_a_later_try_of_an_iteration_attaches_to_its_own_batch(connect: Connect) -> None:
    with KimiSimulator(speed=1000) as sim:
        connect(sim)
        made = [run_task(create(["same"]), **in_iteration(index)).value for index in (0, 1)]
        again = [run_task(create(["same"]), **in_iteration(index, try_number=2)).value for index in (0, 1)]
        assert again == made
        assert len(sim.batches) == 2


def test_an_iteration_does_not_replace_the_result_of_the_one_before(connect: Connect, tmp_path: Path) -> None:
    task = KimiBatchOperator(
        task_id="ask",
        input=["a"],
        output=f"file://{tmp_path}/{{{{ loop.index }}}}",
        deferrable=False,
        poke_interval=0.1,
    )
    fixed = KimiBatchOperator(
        task_id="ask", input=["a"], output=f"file://{tmp_path}/0", deferrable=False, poke_interval=0.1
    )
    with KimiSimulator(speed=1000, timing=Timing(working_seconds=5)) as sim:
        connect(sim)
        manifests = [run_task(task, **in_iteration(index)).value for index in (0, 1)]
        assert [Path(manifest["results_file"].removeprefix("file://")).parent.name for manifest in manifests] == [
            "0",
            "1",
        ]
        with pytest.raises(KimiInputError, match="of this run, which another task has landed"):
            run_task(fixed, **in_iteration(1))


def test_labels_of_an_iteration_are_compared_with_the_result_in_its_output(connect: Connect, tmp_path: Path) -> None:
    """Airflow refuses to read what iterations of earlier runs have returned, and no Airflow here could answer."""
    task = KimiBatchOperator(
        task_id="ask",
        input=["Is this positive or negative? 很好"],
        output=f"{tmp_path}/{{{{ loop.index }}}}",
        output_schema=["positive", "negative"],
        max_drift=0.1,
        deferrable=False,
        poke_interval=0.1,
    )
    with KimiSimulator(speed=1000, timing=Timing(working_seconds=5)) as sim:
        connect(sim)
        runs = [in_iteration(0), in_iteration(0)]
        runs[1]["ti"].run_id = "tomorrow"
        first, second = (run_task(task, **run).value for run in runs)
    assert "drift" not in first
    assert second["drift"]["since"] == first["completed_at"]
