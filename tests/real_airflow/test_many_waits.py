"""Many waits in a real triggerer, which is killed in the middle; another one takes over."""

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.real_airflow.conftest import World
from tests.support.real_airflow import wait_for
from tests.support.triggers import created

pytestmark = [pytest.mark.real_airflow, pytest.mark.slow, pytest.mark.timeout(5000)]

#: `make test-waits` sets 500, which a machine of two processors takes half an hour for: each is a task of its own.
COUNT = int(os.environ.get("WAITS", "24"))

#: Real seconds within which the batches end, at random.
ENDING_SECONDS = 40.0

#: How long a batch of a spare platform takes.
BATCH_SECONDS = 7202.0


def looks(platform: KimiSimulator) -> Counter[str]:
    return Counter(call.name for call in list(platform.journal))


def end_at_random(platform: KimiSimulator, seed: int) -> None:
    """Let every batch end within the next seconds."""
    source = random.Random(seed)
    for batch in platform.batches.values():
        batch.created_at = platform.now() - BATCH_SECONDS + source.uniform(2, ENDING_SECONDS)


def test_all_waits_of_a_killed_triggerer_are_resumed_once_and_none_is_cancelled(
    world: World, connect: Connect, tmp_path: Path
) -> None:
    """Also of a triggerer that dies with no chance to tidy up."""
    conn, platform = world.take_platform()
    hook: KimiHook = connect(platform)
    ids = created(hook, COUNT)
    resumed = tmp_path / "resumed"
    run = {"conn": conn, "ids": ids, "resumed": str(resumed)}
    world.airflow.run_dag("many_waits", "run", run)

    def states() -> Counter[str]:
        return Counter(world.airflow.mapped_states("many_waits", "run", "wait"))

    def ended() -> int:
        return sum(platform.status(batch_id) == "completed" for batch_id in ids)

    wait_for(lambda: states()["deferred"] == COUNT, "not every task is deferred", seconds=2400, pause=2)
    progress = wait_for(
        lambda: world.airflow.xcom("many_waits", "run", "wait", "progress", map_index=COUNT - 1), "no progress is shown"
    )
    assert (progress["statuses"], progress["total"]) == ({"in_progress": 1}, 2)
    end_at_random(platform, COUNT)
    wait_for(lambda: ended() >= COUNT // 2, "not half of the batches have ended", pause=0.1)
    world.airflow.kill("triggerer", signal.SIGKILL)
    before, half = looks(platform), ended()
    assert half < COUNT
    world.airflow.start("triggerer")
    wait_for(lambda: states()["success"] == COUNT, "not every task has succeeded", seconds=2400, pause=2)
    after = looks(platform)
    print(f"{COUNT} waits, {half} batches ended before the kill: {states()}; calls until then {before}, in all {after}")
    assert sorted(resumed.read_text().split()) == sorted(ids)
    assert after["cancel_batch"] == 0
    wait_for(lambda: world.airflow.run_state("many_waits", "run") == "success", "the run goes on")
