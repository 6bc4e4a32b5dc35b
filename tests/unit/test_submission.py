"""What an earlier attempt left on the platform decides whether to pay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.batch.submission import batch_to_attach, is_of_job
from tests.unit.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch

LOST = ("failed", "expired", "cancelled", "cancelling")
USABLE = ("validating", "in_progress", "finalizing", "completed", *UNKNOWN)


class TestABatchBelongsToAJobByItsMetadata:
    @pytest.mark.parametrize(
        ("metadata", "belongs"),
        [
            pytest.param({"kimi_job_key": "k", "kimi_shard": "1/2"}, True, id="both"),
            pytest.param({"kimi_job_key": "k", "kimi_shard": "1/2", "more": "x"}, True, id="and more"),
            pytest.param({"kimi_job_key": "other", "kimi_shard": "1/2"}, False, id="another job"),
            pytest.param({"kimi_job_key": "k", "kimi_shard": "2/2"}, False, id="another shard"),
            pytest.param({"kimi_job_key": "k"}, False, id="no shard"),
            pytest.param({"kimi_shard": "1/2"}, False, id="no job"),
            pytest.param({}, False, id="empty"),
            pytest.param(None, False, id="none"),
        ],
    )
    def test_which(self, metadata: dict[str, str] | None, belongs: bool) -> None:
        assert is_of_job(make_batch(metadata=metadata), "k", "1/2") is belongs


class TestAnAttemptAttaches:
    @pytest.mark.parametrize("status", USABLE)
    def test_to_work_that_lives_or_is_done(self, status: str) -> None:
        """T2, T3: the platform's own list is the memory of what was submitted."""
        batch = make_batch(status)
        assert batch_to_attach([batch]) is batch

    @pytest.mark.parametrize("status", LOST)
    def test_not_to_work_that_is_lost(self, status: str) -> None:
        assert batch_to_attach([make_batch(status)]) is None

    def test_to_nothing_where_there_is_nothing(self) -> None:
        assert batch_to_attach([]) is None

    @pytest.mark.parametrize("status", LOST)
    def test_to_the_one_that_is_not_lost(self, status: str) -> None:
        older = make_batch(status, "b1", created_at=100)
        newer = make_batch("in_progress", "b2", created_at=200)
        assert batch_to_attach([older, newer]) is newer

    def test_to_the_oldest(self) -> None:
        found = [make_batch("completed", "b1", created_at=200), make_batch("in_progress", "b2", created_at=100)]
        assert batch_to_attach(found) is found[1]

    def test_to_the_smallest_id_of_one_second(self) -> None:
        found = [make_batch("in_progress", "b2", created_at=100), make_batch("in_progress", "b1", created_at=100)]
        assert batch_to_attach(found) is found[1]

    def test_to_one_without_a_time_first(self) -> None:
        found = [make_batch("in_progress", "b1", created_at=100), make_batch("in_progress", "b2")]
        assert batch_to_attach(found) is found[1]

    @given(
        found=st.lists(
            st.builds(
                make_batch,
                st.sampled_from([*ACTIVE, *TERMINAL, *UNKNOWN]),
                st.text("ab12", min_size=1),
                created_at=st.one_of(st.none(), st.integers(0, 3)),
            ),
            unique_by=lambda batch: batch.id,
        ).flatmap(lambda batches: st.tuples(st.just(batches), st.permutations(batches)))
    )
    def test_to_the_same_one_in_whatever_order_they_are_listed(self, found: tuple[list[Batch], list[Batch]]) -> None:
        """T25: two attempts at once choose the same batch."""
        listed, shuffled = found
        chosen = batch_to_attach(listed)
        assert batch_to_attach(shuffled) == chosen
        assert (chosen is None) is all(batch.status in LOST for batch in listed)
