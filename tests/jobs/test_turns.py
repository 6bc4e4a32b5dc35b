"""When a task looks for room."""

import pytest
from msgspec.structs import replace

from airflow_provider_kimi.jobs.turns import LONGEST_TURN_SECONDS, TURN_SECONDS, to_come_of, with_turn
from airflow_provider_kimi.records.pending import Pending, PendingShard

NOW = 1_757_000_000.0
PENDING = Pending((PendingShard("file_a", 10, 2, "3/3"),), {}, has_turns=True)


@pytest.mark.parametrize(("own", "mean"), [(None, TURN_SECONDS), (30.0, 30.0), (7200.0, 7200.0)])
def test_the_pause_is_of_random_length_about_the_same_mean_for_everybody(own: float | None, mean: float) -> None:
    pauses = [(with_turn(PENDING, own, NOW, jitter).turn_at or 0.0) - NOW for jitter in (0.0, 0.5, 1.0)]
    assert pauses == pytest.approx([mean / 2, mean, mean * 1.5])


@pytest.mark.parametrize(("refusals", "mean"), [(0, 300.0), (1, 600.0), (3, 2400.0), (4, 3600.0), (99, 3600.0)])
def test_the_pause_doubles_while_one_shard_is_refused_for_its_size(refusals: int, mean: float) -> None:
    (shard,) = PENDING.shards
    refused = replace(PENDING, shards=(replace(shard, refusals=refusals),))
    assert (with_turn(refused, None, NOW, 0.5).turn_at or 0.0) - NOW == mean <= LONGEST_TURN_SECONDS


def test_the_time_of_the_wait_counts_from_the_first_look_in_vain() -> None:
    first = with_turn(PENDING, None, NOW, 0.5)
    second = with_turn(replace(first, turn_at=None), None, NOW + 300, 0.5)
    assert first.idle_since == second.idle_since == NOW
    assert to_come_of(second, most=2).idle_since == NOW


def test_a_task_that_waits_for_its_own_batches_has_no_turn() -> None:
    own = with_turn(replace(PENDING, has_turns=False, turn_at=NOW, idle_since=NOW), None, NOW, 0.5)
    assert (own.turn_at, own.idle_since) == (None, None)
    found = to_come_of(own, most=2)
    assert (found.count, found.fewer_than, found.look_at) == (1, 2, None)
