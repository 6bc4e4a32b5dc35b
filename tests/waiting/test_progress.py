"""How far a wait has come, in one line and as numbers."""

import pytest

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.waiting.progress import progress_line, progress_of, summary_line
from tests.support.samples import make_batch

NOW = 1_757_000_000


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        pytest.param(None, "Batch batch_1: in_progress", id="no counts"),
        pytest.param(RequestCounts(), "Batch batch_1: in_progress", id="zeros while validating"),
        pytest.param(RequestCounts(1234), "Batch batch_1: in_progress, 0 of 1,234 rows done", id="nothing done"),
        pytest.param(RequestCounts(10, 4), "Batch batch_1: in_progress, 4 of 10 rows done", id="some done"),
        pytest.param(RequestCounts(10, 4, 2), "Batch batch_1: in_progress, 6 of 10 rows done (2 failed)", id="failed"),
    ],
)
def test_progress_is_told_in_one_line(counts: RequestCounts | None, line: str) -> None:
    assert progress_line(make_batch("in_progress", request_counts=counts)) == line


def test_the_rate_and_the_end_follow_from_what_was_done_so_far() -> None:
    batch = make_batch(in_progress_at=NOW - 600, request_counts=RequestCounts(1000, 240, 10))
    progress = progress_of([batch], NOW)
    assert progress.rows_per_minute == pytest.approx(25)
    assert progress.expected_end == pytest.approx(NOW + 1800)
    assert summary_line({"batch_1": batch}, progress) == (
        "Batch batch_1: in_progress, 250 of 1,000 rows done (10 failed), 25 rows a minute, "
        "expected end 2025-09-04 16:03 UTC"
    )
    assert progress.to_dict() == {
        "statuses": {"in_progress": 1},
        "total": 1000,
        "completed": 240,
        "failed": 10,
        "rows_per_minute": 25.0,
        "expected_end": "2025-09-04T16:03:20+00:00",
    }


def test_several_batches_are_told_together() -> None:
    batches = {
        "batch_1": make_batch("completed", "batch_1", request_counts=RequestCounts(1000, 1000)),
        "batch_2": make_batch("in_progress", "batch_2", in_progress_at=NOW - 60, request_counts=RequestCounts(500, 60)),
        "batch_3": make_batch("in_progress", "batch_3", request_counts=RequestCounts(500)),
    }
    progress = progress_of(batches.values(), NOW)
    assert progress.expected_end is None, "one has not begun, so nobody can tell"
    assert summary_line(batches, progress) == (
        "3 batches: 1 completed, 2 in_progress, 1,060 of 2,000 rows done, 60 rows a minute"
    )
