"""What an earlier attempt left on the platform decides whether to pay."""

from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.submission.earlier_work import EarlierWork, changed_input, earlier_work, what_changed
from tests.support.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch

LOST = ("failed", "expired", "cancelled", "cancelling")
USABLE = ("validating", "in_progress", "finalizing", "completed", *UNKNOWN)

TASK = TaskIdentity("labels", "run_1", "ask")
OTHER_TASK = TaskIdentity("labels", "run_2", "ask")


def tagged(job: str = "k", shard: str = "1/1", task: TaskIdentity = TASK) -> dict[str, str]:
    """Metadata as the provider writes it."""
    return Tags.of_task(task, job_key=job, input_fingerprint="f", shard=shard).to_metadata({})


def labels(shards: int) -> list[str]:
    """Every `kimi_shard` of a job."""
    return [f"{number}/{shards}" for number in range(1, shards + 1)]


def decode_batch(**fields: object) -> Batch:
    """A batch as the platform sends it."""
    return msgspec.convert({"id": "batch_1", "status": "in_progress", **fields}, Batch)


def shard_of(*found: Batch) -> Batch | None:
    """What is found for the only batch of a job."""
    return earlier_work(found, TASK, "k", labels(1)).batches.get("1/1")


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
        assert earlier_work([batch], TASK, "k", labels(2)).batches == ({"1/2": batch} if belongs else {})

    def test_by_its_shard(self) -> None:
        first, third = make_batch(metadata=tagged(shard="1/3")), make_batch(metadata=tagged(shard="3/3"))
        assert earlier_work([third, first], TASK, "k", labels(3)).batches == {"1/3": first, "3/3": third}


class TestAnAttemptAttaches:
    @pytest.mark.parametrize("status", USABLE)
    def test_to_work_that_lives_or_is_done(self, status: str) -> None:
        """T2, T3: the platform's own list is the memory of what was submitted."""
        batch = make_batch(status, metadata=tagged())
        assert shard_of(batch) is batch

    @pytest.mark.parametrize("status", LOST)
    def test_not_to_work_that_is_lost(self, status: str) -> None:
        assert earlier_work([make_batch(status, metadata=tagged())], TASK, "k", labels(1)) == EarlierWork()

    def test_to_nothing_where_there_is_nothing(self) -> None:
        assert earlier_work([], TASK, "k", labels(1)) == EarlierWork()

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
        earlier = earlier_work(listed, TASK, "k", labels(2))
        assert earlier_work(shuffled, TASK, "k", labels(2)) == earlier
        usable = [batch.metadata for batch in listed if batch.status not in LOST]
        assert set(earlier.batches) == {shard for shard in ("1/2", "2/2") if tagged("k", shard) in usable}


class TestAnInputThatChanged:
    """A second input of one task instance is not paid for silently."""

    OLD = make_batch("completed", "batch_old", metadata=tagged("before"))

    def refusal(self, *found: Batch) -> str:
        return str(changed_input(earlier_work(found, TASK, "k", labels(2)).replaced, TASK, "the prompt"))

    @pytest.mark.parametrize("status", USABLE)
    def test_is_reported_while_the_earlier_work_lives_or_is_done(self, status: str) -> None:
        message = self.refusal(make_batch(status, "batch_old", metadata=tagged("before")))
        assert message.startswith(
            "An earlier attempt of task ask in run run_1 submitted other requests than this would"
        )
        assert "Changed: the prompt." in message
        assert "Nothing was sent now." in message
        assert message.endswith(f"billed: batch_old ({status}).")
        assert "on_changed_input='fresh'" in message

    @pytest.mark.parametrize("status", LOST)
    def test_is_submitted_where_the_earlier_work_is_lost(self, status: str) -> None:
        lost = make_batch(status, "batch_old", metadata=tagged("before"))
        assert earlier_work([lost], TASK, "k", labels(2)).replaced == ()

    def test_is_submitted_where_the_earlier_work_is_of_another_instance(self) -> None:
        other = make_batch("completed", "batch_old", metadata=tagged("before", task=OTHER_TASK))
        assert earlier_work([other], TASK, "k", labels(2)) == EarlierWork()

    def test_is_none_where_a_part_of_this_input_was_submitted_already(self) -> None:
        part = make_batch("in_progress", "batch_new", metadata=tagged("k", "1/2"))
        earlier = earlier_work([self.OLD, part], TASK, "k", labels(2))
        assert earlier == EarlierWork({"1/2": part}, other=(self.OLD,))
        assert earlier.replaced == ()

    @pytest.mark.parametrize(("count", "more"), [(5, ""), (6, " and 1 more"), (9, " and 4 more")])
    def test_is_told_by_five_of_its_batches(self, count: int, more: str) -> None:
        found = [make_batch("completed", f"b{n}", created_at=n, metadata=tagged("before")) for n in range(count)]
        message = self.refusal(*reversed(found))
        assert message.endswith(f"billed: {', '.join(f'b{n} (completed)' for n in range(5))}{more}.")


class TestWhatChangedIsNamed:
    """T13: a parameter that renders differently is named, not paid for again."""

    NEW: ClassVar = {"kimi_prompt_fingerprint": "p", "kimi_model": "m", "kimi_params": "q"}

    def changes(self, tags: dict[str, str] | None = None, total: int = 7, shards: int = 1) -> str:
        old = decode_batch(metadata={**self.NEW, **(tags or {})}, request_counts={"total": total})
        return what_changed([old], Tags.of(decode_batch(metadata=self.NEW)), shards, requests=7)

    @pytest.mark.parametrize(
        ("tag", "what"),
        [
            ("kimi_prompt_fingerprint", "the prompt"),
            ("kimi_model", "the model"),
            ("kimi_params", "request parameters"),
        ],
    )
    def test_by_the_tag_that_differs(self, tag: str, what: str) -> None:
        assert self.changes({tag: "x"}) == what

    def test_by_numbers(self) -> None:
        assert self.changes(total=1200) == "the number of requests (1,200 then, 7 now)"
        assert self.changes(shards=2) == "the number of batches (1 then, 2 now)"

    def test_by_what_is_left_where_no_tag_differs(self) -> None:
        assert self.changes() == "what the rows hold, or how they are cut into batches"
        assert self.changes(total=0).startswith("what the rows hold")  # nothing is counted while validating


class TestAttemptsThatRace:
    """T25: whoever looks sees the same winner, and the same duplicates to cancel."""

    def test_keep_the_oldest_and_cancel_what_can_be_cancelled(self) -> None:
        racing = [make_batch("in_progress", f"b{n}", created_at=n, metadata=tagged()) for n in (3, 1, 2)]
        done = make_batch("completed", "b4", created_at=4, metadata=tagged())
        earlier = earlier_work([*racing, done], TASK, "k", labels(1))
        assert earlier.batches["1/1"].id == "b1"
        assert [batch.id for batch in earlier.duplicates] == ["b2", "b3"]

    def fresh(self, mark: str, batch_id: str, created_at: int) -> Batch:
        return make_batch("in_progress", batch_id, created_at=created_at, metadata={**tagged(), "kimi_attempt": mark})

    def test_fresh_work_is_no_duplicate_of_what_it_passed_over_and_counts_from_then_on(self) -> None:
        old = make_batch("in_progress", "b1", created_at=1, metadata=tagged())
        found = [old, self.fresh("x", "b3", 3), self.fresh("x", "b2", 2)]
        earlier = earlier_work(found, TASK, "k", labels(1))
        assert (earlier.batches["1/1"].id, [batch.id for batch in earlier.duplicates]) == ("b2", ["b3"])

    def test_fresh_work_attaches_to_nothing_but_its_own(self) -> None:
        found = [make_batch("in_progress", "b1", metadata=tagged()), self.fresh("x", "b2", 2)]
        assert earlier_work(found, TASK, "k", labels(1), fresh="y").batches == {}
        assert earlier_work(found, TASK, "k", labels(1), fresh="x").batches["1/1"].id == "b2"
