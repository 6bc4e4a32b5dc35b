"""Whether a shard was halved is read from the batches that are found, by every attempt alike."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.records.shard_names import Part, ShardName
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.submission.cuts import Cuts
from airflow_provider_kimi.submission.earlier_work import earlier_work
from tests.support.samples import make_batch

TASK = TaskIdentity("labels", "run_1", "ask")
WHOLE = ShardName(1, 2)
FIRST, SECOND = (ShardName(1, 2, part) for part in Part(0, 10, 10).halves)
QUARTER = ShardName(1, 2, Part(0, 10, 10).halves[0].halves[0])

#: How a batch stands: it lives, it is done, it ended with answers or without, or it is not there.
LIVES, DONE, ANSWERED, LOST, ABSENT = "in_progress", "completed", "expired", "failed", ""


def made(name: ShardName, stands: str, created_at: int = 1, **tags: Any) -> Batch:
    metadata = Tags.of_task(TASK, job_key="k", input_fingerprint="f", shard=str(name), **tags).to_metadata({})
    done = 3 if stands in (DONE, ANSWERED) else 0
    counts = RequestCounts(10, done, 0)
    batch_id = f"{name} {stands} {tags}"
    return make_batch(stands, batch_id, created_at=created_at, metadata=metadata, request_counts=counts)


def is_cut(*found: Batch, name: ShardName = WHOLE, fresh: str | None = None) -> bool | None:
    return Cuts(found, "k", fresh).is_cut(name)


@pytest.mark.parametrize("part", [LIVES, DONE, ANSWERED, LOST, ABSENT], ids=lambda stands: f"half {stands}")
@pytest.mark.parametrize("whole", [LIVES, DONE, ANSWERED, LOST, ABSENT], ids=lambda stands: f"whole {stands}")
@pytest.mark.parametrize("of", [FIRST, SECOND, QUARTER], ids=str)
def test_a_shard_is_cut_where_a_part_of_it_is_there_and_the_whole_is_not(whole: str, part: str, of: ShardName) -> None:
    """What lives or is done counts before what ended with answers; of two alike, the whole counts before one part."""
    found = [made(name, stands) for name, stands in ((WHOLE, whole), (of, part)) if stands]
    rank = {LIVES: 2, DONE: 2, ANSWERED: 1, LOST: 0, ABSENT: 0}
    expected = None if not rank[whole] and not rank[part] else rank[part] > rank[whole]
    assert is_cut(*found) is expected
    assert is_cut(*reversed(found)) is expected, "in whatever order they are listed"


@pytest.mark.parametrize("stands", [(LIVES, LIVES), (DONE, LIVES), (DONE, DONE)], ids=str)
@pytest.mark.parametrize(
    ("first", "second", "whole", "parts_count"),
    [(1, 2, 3, True), (2, 1, 3, True), (1, 3, 2, False), (2, 3, 1, False), (1, 2, 2, False)],
)
def test_what_held_all_rows_first_counts(
    first: int, second: int, whole: int, parts_count: bool, stands: tuple[str, str]
) -> None:
    """So an attempt that creates later sees that it is late, and nobody cancels what the earlier one waits for."""
    of_parts, of_whole = stands
    halves = made(FIRST, of_parts, first), made(SECOND, of_parts, second)
    assert is_cut(*halves, made(WHOLE, of_whole, whole)) is parts_count
    assert is_cut(halves[0], made(WHOLE, of_whole, whole)) is False, "rows are lacking"
    quarters = [made(ShardName(1, 2, part), of_parts, first) for part in (FIRST.part or Part(0, 1, 1)).halves]
    assert is_cut(*quarters, halves[1], made(WHOLE, of_whole, whole)) is parts_count


def test_a_part_is_cut_by_the_same_rule() -> None:
    quarter = made(QUARTER, LIVES)
    assert is_cut(quarter) is is_cut(quarter, name=FIRST) is True
    assert is_cut(quarter, name=QUARTER) is False
    assert is_cut(quarter, name=SECOND) is None
    assert is_cut(quarter, made(FIRST, DONE), name=FIRST) is False


def test_a_further_round_of_a_part_says_so_too() -> None:
    assert is_cut(made(FIRST, LOST), made(FIRST, LIVES, round="2")) is True


def test_work_that_was_paid_for_on_purpose_counts_before_what_it_passed_over() -> None:
    old, fresh = made(WHOLE, DONE), made(FIRST, LIVES, 2, attempt="x")
    assert is_cut(old, fresh) is True
    assert is_cut(made(FIRST, DONE), made(WHOLE, LIVES, 2, attempt="x")) is False
    assert is_cut(old, fresh, fresh="x") is True
    assert is_cut(made(FIRST, DONE), fresh="x") is None


def test_batches_of_another_job_or_shard_say_nothing() -> None:
    other = Tags.of_task(TASK, job_key="other", shard=str(FIRST)).to_metadata({})
    assert is_cut(make_batch(metadata=other)) is None
    assert is_cut(made(ShardName(2, 2, Part(0, 1, 2)), LIVES)) is None


STANDS = st.sampled_from([LIVES, DONE, ANSWERED, LOST])


@given(
    st.lists(st.tuples(st.sampled_from([WHOLE, FIRST, SECOND, QUARTER]), STANDS, st.integers(1, 5)), max_size=8),
    st.randoms(),
)
def test_batches_that_were_made_beside_the_larger_one_are_cancelled(
    found: list[tuple[ShardName, str, int]], random: Any
) -> None:
    """What counts covers each row once, and nothing else of these rows goes on."""
    batches = [
        make_batch(
            batch.status, f"b{at}", created_at=time, metadata=batch.metadata, request_counts=batch.request_counts
        )
        for at, (name, stands, time) in enumerate(found)
        for batch in [made(name, stands)]
    ]
    random.shuffle(batches)
    cuts = Cuts(batches, "k", None)

    def leaves(name: ShardName) -> list[ShardName]:
        if not cuts.is_cut(name):
            return [name]
        return [leaf for half in (name.part or Part(0, 10, 10)).halves for leaf in leaves(ShardName(1, 2, half))]

    wanted = leaves(WHOLE)
    earlier = earlier_work(batches, TASK, "k", list(map(str, wanted)))
    counting = {batch.id for batch in earlier.batches.values()}
    spare = {batch.id for batch in earlier.duplicates}
    runs = {batch.id for batch in batches if batch.status == LIVES}
    assert runs <= counting | spare
    assert not counting & spare
    assert [str(name) for name in wanted if str(name) in earlier.batches] == [
        str(name)
        for name in wanted
        if any(Tags.of(batch).shard == str(name) and batch.id in counting for batch in batches)
    ]
