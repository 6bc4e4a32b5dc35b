"""What an earlier attempt left on the platform decides whether to pay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.identity import TaskIdentity, batch_metadata
from airflow_provider_kimi.batch.submission import EarlierWork, check_unchanged, earlier_work
from airflow_provider_kimi.exceptions import KimiInputError
from tests.unit.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch

LOST = ("failed", "expired", "cancelled", "cancelling")
USABLE = ("validating", "in_progress", "finalizing", "completed", *UNKNOWN)

TASK = TaskIdentity("labels", "run_1", "ask")
OTHER_TASK = TaskIdentity("labels", "run_2", "ask")


def tagged(job: str = "k", shard: str = "1/1", task: TaskIdentity = TASK) -> dict[str, str]:
    """Metadata as the provider writes it."""
    return batch_metadata(task, job=job, input_fingerprint="f", prompt_fingerprint=None, shard=shard, extra={})


def shard_of(*found: Batch) -> Batch | None:
    """What is found for the only batch of a job."""
    return earlier_work(found, TASK, "k", 1).batches.get("1/1")


class TestABatchBelongsToAJobByItsMetadata:
    @pytest.mark.parametrize(
        ("metadata", "belongs"),
        [
            pytest.param({"kimi_job_key": "k", "kimi_shard": "1/2"}, True, id="both"),
            pytest.param({"kimi_job_key": "k", "kimi_shard": "1/2", "more": "x"}, True, id="and more"),
            pytest.param(tagged("k", "1/2", OTHER_TASK), True, id="made by another instance"),
            pytest.param({"kimi_job_key": "other", "kimi_shard": "1/2"}, False, id="another job"),
            pytest.param({"kimi_job_key": "k", "kimi_shard": "1/3"}, False, id="another cut"),
            pytest.param({"kimi_job_key": "k", "kimi_shard": "3/2"}, False, id="no such shard"),
            pytest.param({"kimi_job_key": "k"}, False, id="no shard"),
            pytest.param({"kimi_shard": "1/2"}, False, id="no job"),
            pytest.param({}, False, id="empty"),
            pytest.param(None, False, id="none"),
        ],
    )
    def test_which(self, metadata: dict[str, str] | None, belongs: bool) -> None:
        batch = make_batch(metadata=metadata)
        assert earlier_work([batch], TASK, "k", 2).batches == ({"1/2": batch} if belongs else {})

    def test_by_its_shard(self) -> None:
        first, third = make_batch(metadata=tagged(shard="1/3")), make_batch(metadata=tagged(shard="3/3"))
        assert earlier_work([third, first], TASK, "k", 3).batches == {"1/3": first, "3/3": third}


class TestAnAttemptAttaches:
    @pytest.mark.parametrize("status", USABLE)
    def test_to_work_that_lives_or_is_done(self, status: str) -> None:
        """T2, T3: the platform's own list is the memory of what was submitted."""
        batch = make_batch(status, metadata=tagged())
        assert shard_of(batch) is batch

    @pytest.mark.parametrize("status", LOST)
    def test_not_to_work_that_is_lost(self, status: str) -> None:
        assert earlier_work([make_batch(status, metadata=tagged())], TASK, "k", 1) == EarlierWork({}, [])

    def test_to_nothing_where_there_is_nothing(self) -> None:
        assert earlier_work([], TASK, "k", 1) == EarlierWork({}, [])

    @pytest.mark.parametrize("status", LOST)
    def test_to_the_one_that_is_not_lost(self, status: str) -> None:
        older = make_batch(status, "b1", created_at=100, metadata=tagged())
        newer = make_batch("in_progress", "b2", created_at=200, metadata=tagged())
        assert shard_of(older, newer) is newer

    @pytest.mark.parametrize(
        ("chosen", "other"),
        [
            pytest.param(("b2", 100), ("b1", 200), id="the oldest"),
            pytest.param(("b1", 100), ("b2", 100), id="the smallest id of one second"),
            pytest.param(("b2", None), ("b1", 100), id="one without a time first"),
        ],
    )
    def test_to_one_of_several(self, chosen: tuple[str, int | None], other: tuple[str, int | None]) -> None:
        first, second = (
            make_batch("completed", batch_id, created_at=time, metadata=tagged()) for batch_id, time in (chosen, other)
        )
        assert shard_of(first, second) is first
        assert shard_of(second, first) is first

    @given(
        found=st.lists(
            st.builds(
                make_batch,
                st.sampled_from([*ACTIVE, *TERMINAL, *UNKNOWN]),
                st.text("ab12", min_size=1),
                created_at=st.one_of(st.none(), st.integers(0, 3)),
                metadata=st.builds(tagged, st.sampled_from("kx"), st.sampled_from(["1/2", "2/2", "1/3"])),
            ),
            unique_by=lambda batch: batch.id,
        ).flatmap(lambda batches: st.tuples(st.just(batches), st.permutations(batches)))
    )
    def test_to_the_same_ones_in_whatever_order_they_are_listed(self, found: tuple[list[Batch], list[Batch]]) -> None:
        """T25: two attempts at once choose the same batches."""
        listed, shuffled = found
        earlier = earlier_work(listed, TASK, "k", 2)
        assert earlier_work(shuffled, TASK, "k", 2) == earlier
        usable = [batch.metadata for batch in listed if batch.status not in LOST]
        assert set(earlier.batches) == {shard for shard in ("1/2", "2/2") if tagged("k", shard) in usable}


class TestAnInputThatChanged:
    """A second input of one task instance is not paid for silently."""

    OLD = make_batch("completed", "batch_old", metadata=tagged("before"))

    def refusal(self, *found: Batch) -> str:
        with pytest.raises(KimiInputError) as caught:
            check_unchanged(earlier_work(found, TASK, "k", 2), TASK)
        return str(caught.value)

    @pytest.mark.parametrize("status", USABLE)
    def test_is_refused_while_the_earlier_work_lives_or_is_done(self, status: str) -> None:
        message = self.refusal(make_batch(status, "batch_old", metadata=tagged("before")))
        assert message.startswith("An earlier attempt of task ask in run run_1 submitted other requests than this one")
        assert f"billed: batch_old ({status}). Nothing was sent now." in message
        assert "reuse='never'" in message

    @pytest.mark.parametrize("status", LOST)
    def test_is_submitted_where_the_earlier_work_is_lost(self, status: str) -> None:
        lost = make_batch(status, "batch_old", metadata=tagged("before"))
        check_unchanged(earlier_work([lost], TASK, "k", 2), TASK)

    def test_is_submitted_where_the_earlier_work_is_of_another_instance(self) -> None:
        other = make_batch("completed", "batch_old", metadata=tagged("before", task=OTHER_TASK))
        assert earlier_work([other], TASK, "k", 2) == EarlierWork({}, [])
        check_unchanged(earlier_work([other], TASK, "k", 2), TASK)

    def test_is_none_where_a_part_of_this_input_was_submitted_already(self) -> None:
        part = make_batch("in_progress", "batch_new", metadata=tagged("k", "1/2"))
        earlier = earlier_work([self.OLD, part], TASK, "k", 2)
        assert earlier == EarlierWork({"1/2": part}, [self.OLD])
        check_unchanged(earlier, TASK)

    @pytest.mark.parametrize(("count", "more"), [(5, ""), (6, " and 1 more"), (9, " and 4 more")])
    def test_is_told_by_five_of_its_batches(self, count: int, more: str) -> None:
        found = [make_batch("completed", f"b{n}", created_at=n, metadata=tagged("before")) for n in range(count)]
        message = self.refusal(*reversed(found))
        assert f"billed: {', '.join(f'b{n} (completed)' for n in range(5))}{more}. Nothing was sent now." in message
