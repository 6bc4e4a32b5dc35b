"""Both workers and a triggerer die, and a triggerer stands still, in the middle of 20 mapped batches."""

import json
import os
import signal
import time
from collections import Counter
from typing import Any

import pytest

from tests.distributed.conftest import LOST_SECONDS, ROWS, SHARDS, Cluster, text_of
from tests.real_airflow.test_killed_workers import worker_pids
from tests.support.real_airflow import processes_in, wait_for

pytestmark = pytest.mark.timeout(900)


class Watched:
    """A run, and what happens to it, with the seconds since it began."""

    def __init__(self, cluster: Cluster, dag_id: str) -> None:
        self.cluster = cluster
        self.dag_id = dag_id
        self._began = time.monotonic()
        self._journal = len(cluster.platform.journal)
        self._batches = set(cluster.platform.batches)
        cluster.airflow.run_dag(dag_id, "by_hand")

    def say(self, event: str) -> None:
        """Print what has just happened."""
        print(f"{time.monotonic() - self._began:5.0f} s  {event}", flush=True)

    def states(self, task_id: str) -> Counter[str]:
        """How many instances of a mapped task are in each state."""
        return Counter(self.cluster.airflow.mapped_states(self.dag_id, "by_hand", task_id))

    def calls(self) -> Counter[str]:
        """How often the platform was called so, since the run began."""
        return Counter(call.name for call in self.cluster.platform.journal[self._journal :])

    def batches(self) -> set[str]:
        """The batches that were made since the run began."""
        return set(self.cluster.platform.batches) - self._batches

    def until_all_wait(self, task_id: str) -> None:
        """Wait until every instance is deferred."""

        def all_wait() -> bool:
            return self.states(task_id) == {"deferred": SHARDS}

        wait_for(all_wait, f"not every {task_id} waits", pause=2)
        self.say(f"all {SHARDS} wait")

    def until_polled_again(self) -> None:
        """Wait until whoever lives has polled three times: a poll may be of one batch, or of the list of all."""
        before = self._polls()
        wait_for(lambda: self._polls() > before + 3, "nobody polls", pause=1)
        self.say("the batches are polled")

    def _polls(self) -> int:
        calls = self.calls()
        return calls["get_batch"] + calls["list_batches"]

    def until_ended(self) -> None:
        """Let the platform finish, and wait for the end of the run."""
        self.cluster.platform.advance(8000)
        ended = {"success", "failed"}
        wait_for(lambda: self.cluster.airflow.run_state(self.dag_id, "by_hand") in ended, "it did not end", pause=2)
        self.say(f"the run is {self.cluster.airflow.run_state(self.dag_id, 'by_hand')}")

    def landed(self) -> list[Any]:
        """Every landed row, in the order of the shards."""
        return [
            json.loads(line)
            for shard in range(SHARDS)
            for line in self.cluster.storage.get(f"{self.dag_id}/{shard}/results.jsonl").splitlines()
        ]


def kill_who_creates(watched: Watched, worker: str) -> None:
    """Kill a worker, and all of its tasks, while one of them has asked for a batch and has no answer yet."""
    folder = watched.cluster.airflow.home / worker

    def creates() -> bool:
        return bool(set(worker_pids(watched.cluster.platform)) & set(processes_in(folder)))

    wait_for(creates, f"no task of {worker} creates", pause=0.1)
    for pid in processes_in(folder):
        os.kill(pid, signal.SIGKILL)
    watched.say(f"{worker} is killed, while it creates")


def test_every_row_lands_once_though_a_worker_and_two_triggerers_are_lost(cluster: Cluster) -> None:
    airflow, platform = cluster.airflow, cluster.platform
    platform.inject("create_batch", skip=2, times=6, hang_seconds=1200, accepted=True)
    chain = Watched(cluster, "chain")
    wait_for(lambda: chain.calls()["create_batch"] >= 8, "nothing hangs", pause=0.2)
    kill_who_creates(chain, "worker-1")
    kill_who_creates(chain, "worker-2")
    cluster.start_worker("worker-3")
    cluster.start_worker("worker-4")
    chain.until_all_wait("wait")

    airflow.kill("triggerer-1", signal.SIGKILL)
    chain.say("triggerer-1 is killed")
    time.sleep(LOST_SECONDS)
    chain.until_polled_again()
    airflow.send("triggerer-2", signal.SIGSTOP)
    chain.say("triggerer-2 is stopped")
    cluster.start_triggerer("triggerer-3")
    time.sleep(2 * LOST_SECONDS)
    chain.until_polled_again()
    airflow.send("triggerer-2", signal.SIGCONT)
    chain.say("triggerer-2 goes on")
    time.sleep(LOST_SECONDS)
    chain.until_polled_again()
    chain.until_ended()

    calls, batches, rows = chain.calls(), chain.batches(), chain.landed()
    print(f"{len(rows)} rows, {len(batches)} batches, {calls['create_batch']} creates, {calls['cancel_batch']} cancels")
    assert (calls["create_batch"], calls["cancel_batch"]) == (SHARDS, 0)
    assert [platform.status(batch_id) for batch_id in batches] == ["completed"] * SHARDS
    expected = [(f"{shard}-{row}", text_of(shard, row)) for shard in range(SHARDS) for row in range(ROWS)]
    assert [(row["custom_id"], row["content"]) for row in rows] == expected
