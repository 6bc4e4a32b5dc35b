"""How the last rows are asked: by a batch, by chat calls, or not at all."""

import pytest
from msgspec import UNSET

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.jobs.deadline import Deadline
from airflow_provider_kimi.jobs.last_round import RestTerms, choose, is_made_good, longest_batch
from airflow_provider_kimi.records.manifest import Manifest

DEADLINE = Deadline(finish_by=10_000, waits_until=9_000)


@pytest.mark.parametrize(
    ("terms", "rows", "longest", "now", "asks", "why"),
    [
        (RestTerms(), 1, 0, 0, "batch", ""),
        (RestTerms(5), 5, 0, 0, "batch", ""),
        (RestTerms(5), 4, 0, 0, "otherwise", "fewer than min_batch_rows=5"),
        (RestTerms(deadline=DEADLINE), 1, 1_000, 8_000, "batch", ""),
        (RestTerms(deadline=DEADLINE), 1, 1_200, 8_000, "otherwise", "a batch took 20 minutes"),
        (RestTerms(deadline=DEADLINE), 1, 0, 9_000, "otherwise", "it is too late for a batch"),
        (RestTerms(5, deadline=DEADLINE), 4, 0, 9_000, "otherwise", "it is too late for a batch"),
    ],
)
def test_a_batch_is_made_if_it_is_worth_it_and_in_time(
    terms: RestTerms, rows: int, longest: float, now: float, asks: str, why: str
) -> None:
    for allowed, otherwise in ((False, "leave"), (True, "realtime")):
        found = choose(RestTerms(terms.min_batch_rows, allowed, terms.deadline), rows, longest, now)
        assert found.way == ("batch" if asks == "batch" else otherwise)
        assert why in found.text
        assert ("at the standard price" in found.text) == (found.way == "realtime")
        assert ("then clear this task" in found.text) == (found.way == "leave")


def test_one_row_is_named_as_one() -> None:
    assert choose(RestTerms(5), 1, 0, 0).text.startswith("No further round for 1 row without")
    assert choose(RestTerms(5), 2, 0, 0).text.startswith("No further round for 2 rows without")


def test_the_longest_batch_is_the_measure() -> None:
    batches = [
        Batch(id="a", status="completed", created_at=100, completed_at=400),
        Batch(id="b", status="expired", created_at=100, expires_at=900),
        Batch(id="c", status="completed", created_at=None, completed_at=9_000),
    ]
    assert longest_batch(batches) == 800
    assert longest_batch([]) == 0


@pytest.mark.parametrize(
    ("counts", "status", "has_chat", "good"),
    [
        ({"succeeded": 9, "failed": 1}, "cancelled", True, True),
        ({"succeeded": 9, "cancelled": 1}, "cancelled", True, False),
        ({"succeeded": 9, "expired": 1}, "expired", True, False),
        ({"succeeded": 9, "failed": 1}, "failed", True, False),
        ({"succeeded": 10}, "cancelled", False, False),
    ],
)
def test_a_batch_is_made_good_by_chat_calls_that_have_dealt_with_all_of_its_rows(
    counts: dict[str, int], status: str, has_chat: bool, good: bool
) -> None:
    manifest = Manifest(batch_ids=["a"], counts=counts, realtime={"rows": 1} if has_chat else UNSET)
    assert is_made_good(manifest, [Batch(id="a", status=status)]) is good
