"""No row lost, no shard paid twice, no batch left alive without an owner or a message, whatever happens when.

``CHAOS_SEEDS`` says how many schedules are run, ``CHAOS_SEED`` runs just one again.
"""

import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.simulator.faults import CallName
from tests.chaos.world import Doom, World
from tests.conftest import Connect

SEEDS = [int(os.environ["CHAOS_SEED"])] if "CHAOS_SEED" in os.environ else range(int(os.environ.get("CHAOS_SEEDS", 25)))

HOUR = 3600.0

#: Validating takes minutes in reality, so that a duplicate is cancelled before a row of it is done.
TIMING = Timing(validating_seconds=600, working_seconds=2 * HOUR, finalizing_seconds=300, cancelling_seconds=900)

LOST = ("failed", "expired", "cancelled")

FAULTS: list[tuple[CallName, dict[str, Any]]] = [
    ("create_batch", {"status": 502, "accepted": True}),
    ("create_batch", {"drop": True, "accepted": True}),
    ("create_batch", {"status": 504, "html": True, "accepted": True}),
    ("create_batch", {"status": 500}),
    ("create_batch", {"drop": True}),
    ("create_batch", {"status": 429, "error_type": "engine_overloaded_error", "times": 2}),
    ("upload_file", {"status": 502, "accepted": True}),
    ("upload_file", {"drop": True}),
    ("list_batches", {"status": 503, "times": 2}),
    ("list_batches", {"drop": True, "times": 5}),
    ("get_batch", {"status": 500, "times": 3}),
    ("cancel_batch", {"status": 503}),
    ("download_file", {"status": 500}),
    ("download_file", {"cut_after_bytes": 10}),
    ("list_files", {"status": 500}),
]


def behaviour(random: Random) -> Behaviour:
    """One reading of what the documentation leaves open."""
    return Behaviour(
        list_lag_seconds=random.choice([0, 10]),
        file_lag_seconds=random.choice([0, 0, 3]),
        list_order=random.choice(["newest_first", "oldest_first", "running_first"]),
        has_more=random.choice(["honest", "absent"]),
        batch_lag_seconds=random.choice([0, 0, 5]),
        stale_read_seconds=random.choice([0, 0, 5]),
        late_file_seconds=random.choice([0, 0, 30]),
        max_list_limit=random.choice([2, 100]),
        unknown_after=random.choice(["first_page", "empty", "refused"]),
        success_status_code=random.choice([200, 0]),
        empty_file_id=random.choice(["null", "empty", "absent"]),
        unfinished_rows=random.choice(["absent", "error_file"]),
        cancel_again_status=random.choice([200, 400]),
        null_request_counts=random.random() < 0.2,
        shuffle_output=random.random() < 0.5,
    )


@dataclass
class Schedule:
    """What happens to one world, drawn step by step."""

    world: World
    random: Random

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def fault(self) -> None:
        """Something goes wrong on the platform, soon."""
        call, what = self.random.choice(FAULTS)
        self.world.note(f"fault in {call}: {what}")
        self.world.sim.inject(call, **what, skip=self.random.choice([0, 0, 1]))

    def pause(self) -> None:
        """Time passes between two tries."""
        self.world.sim.advance(self.random.choice([0, 1, 5, 300, 5 * HOUR]))
        if self.world.store is not None and self.chance(0.3):
            self.world.store.clear()

    def doom(self, share: float, points: int = 24) -> Doom:
        return Doom(self.random.randint(1, points) if self.chance(share) else None)

    def submit(self) -> None:
        """Tries of the create task until one succeeds; some die, some wake up late, some get another input."""
        world = self.world
        for _ in range(self.random.randint(0, 3)):
            if self.chance(0.4):
                self.fault()
            if self.chance(0.15):
                self.zombie()
            elif self.chance(0.1):
                self.change_input()
            else:
                world.create(self.doom(0.7))
            self.pause()
        for _ in range(12):
            if world.create(Doom(None), on_changed_input="fresh"):
                return
            world.sim.advance(300)
        raise AssertionError("the create task never succeeds")

    def zombie(self) -> None:
        """A try falls asleep somewhere, and its retry does everything meanwhile."""
        world = self.world
        self.world.note("zombie:")
        world.create(Doom(None, (self.random.randint(1, 16), lambda: world.create(Doom(None)))))

    def change_input(self) -> None:
        self.world.rows.append(f"one more {len(self.world.rows)}")
        policy = self.random.choice(["fail", "fresh", "cancel_and_fresh"])
        self.world.create(self.doom(0.3), on_changed_input=policy)

    def wait(self) -> None:
        """Lives of the trigger until it fires."""
        world = self.world
        for _ in range(self.random.randint(0, 3)):
            if self.chance(0.3):
                self.fault()
            if self.chance(0.3):
                world.wait(self.doom(0.8, 12), None)
        seconds = self.random.choice([HOUR, 3 * HOUR]) if self.chance(0.2) else None
        assert world.wait(Doom(None), seconds)

    def land(self) -> None:
        """Tries of the results task until one succeeds."""
        for _ in range(self.random.randint(0, 2)):
            if self.chance(0.3):
                self.fault()
            self.world.land(self.doom(0.8, 12))
        for _ in range(12):
            if self.world.land(Doom(None)):
                return
            self.world.sim.advance(300)
        raise AssertionError("the results task never succeeds")

    def run(self) -> None:
        """The whole chain, until it has ended well; users give up, and clear, now and then."""
        self.submit()
        while self.chance(0.25):
            if self.chance(0.5):
                self.world.give_up()
            self.pause()
            self.submit()
        self.wait()
        self.land()


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_is_paid_twice(seed: int, connect: Connect, tmp_path: Path) -> None:
    random = Random(seed)
    rows = [f"row {number}" for number in range(random.randint(1, 6))]
    with KimiSimulator(speed=0, timing=TIMING, behaviour=behaviour(random)) as sim:
        connect(sim, timeout=5)
        world = World(sim, tmp_path / "out", random, rows, random.randint(1, 3), random.choice([None, {}]))
        try:
            Schedule(world, random).run()
            check(world)
        except BaseException:
            print("\n".join([f"CHAOS_SEED={seed}", str(sim.batches), *world.steps, *world.log.warnings]))
            raise


def check(world: World) -> None:
    """The three promises."""
    standing = {batch_id: world.sim.status(batch_id) for batch_id in world.sim.batches}
    check_rows(world, standing)
    paid: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for batch_id, batch in world.sim.batches.items():
        tags = batch.metadata or {}
        if standing[batch_id] not in (*LOST, "cancelling"):
            paid[tags["kimi_job_key"], tags["kimi_shard"]].append(batch_id)
    assert all(len(ids) == 1 for ids in paid.values()), f"paid twice: {dict(paid)}"
    told = world.told()
    alive = [batch_id for batch_id, status in standing.items() if status not in (*LOST, "completed")]
    assert all(batch_id in world.ids or batch_id in told for batch_id in alive), f"unseen: {alive}"


def check_rows(world: World, standing: dict[str, str]) -> None:
    manifest = json.loads((world.folder / "manifest.json").read_text())
    results = [json.loads(line) for line in (world.folder / "results.jsonl").read_bytes().splitlines()]
    counts = Counter(row["status"] for row in results)
    assert len(results) == len(world.rows) == manifest["counts"]["total"]
    assert all(manifest["counts"][status] == count for status, count in counts.items())
    done = sum(world.sim.batches[batch_id].completed for batch_id in world.ids)
    assert counts["succeeded"] == done, "a row that was paid is not there"
    if {standing[batch_id] for batch_id in world.ids} == {"completed"}:
        assert done == len(world.rows)
