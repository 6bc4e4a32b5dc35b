"""How far a wait has come, in one line and as the record of the XCom."""

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.ui.batch_view import view_of
from airflow_provider_kimi.waiting.progress import progress_line, progress_of
from tests.support.samples import make_batch

NOW = 1_757_000_000  # 15:33 UTC


def line(*batches: Any) -> str:
    return progress_line(batches, progress_of(batches, NOW), NOW)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        pytest.param(None, "Batch batch_1 is in_progress", id="no counts"),
        pytest.param(RequestCounts(), "Batch batch_1 is in_progress", id="zeros while validating"),
        pytest.param(RequestCounts(1234), "0 of 1,234 rows completed: batch batch_1 is in_progress", id="nothing yet"),
        pytest.param(RequestCounts(10, 4), "4 of 10 rows completed: batch batch_1 is in_progress", id="some"),
        pytest.param(
            RequestCounts(200, 192, 5),
            "192 of 200 rows completed, 5 failed: batch batch_1 is in_progress",
            id="some failed",
        ),
    ],
)
def test_a_line_of_progress_begins_with_the_rows(counts: RequestCounts | None, text: str) -> None:
    assert line(make_batch("in_progress", request_counts=counts)) == text


def test_the_rate_and_the_expected_end_follow_from_the_rows_so_far() -> None:
    batch = make_batch(in_progress_at=NOW - 600, request_counts=RequestCounts(1000, 240, 10))
    progress = progress_of([batch], NOW)
    assert progress.rows_per_minute == pytest.approx(25)
    assert progress.expected_end == datetime.fromtimestamp(NOW + 1800, UTC)
    assert line(batch) == (
        "240 of 1,000 rows completed, 10 failed, ends 16:03 UTC, 25 rows a minute: batch batch_1 is in_progress"
    )
    assert progress.to_dict() == {
        "statuses": {"in_progress": 1},
        "total": 1000,
        "completed": 240,
        "failed": 10,
        "rows_per_minute": 25.0,
        "expected_end": "2025-09-04T16:03:20+00:00",
        "to_come": 0,
        "polled_at": "2025-09-04T15:33:20+00:00",
        "version": 1,
    }


def test_the_log_the_xcom_and_the_page_show_the_same_numbers_of_a_poll() -> None:
    batch = make_batch(created_at=NOW - 36_000, request_counts=RequestCounts(500, 10, 2))
    text, stored, shown = line(batch), progress_of([batch], NOW).to_dict(), view_of(batch, NOW)
    assert text.startswith("10 of 500 rows completed, 2 failed, ends 2025-09-21 14:13 UTC, 0.02 rows a minute: ")
    assert (stored["completed"], stored["failed"], stored["total"]) == (10, 2, 500)
    assert (shown["done"], shown["failed"], shown["total"]) == (10, 2, 500)
    assert stored["rows_per_minute"] == shown["rows_per_minute"] == 0.02
    assert stored["expected_end"] == shown["expected_end"]
    assert stored["expected_end"].startswith("2025-09-21T14:13")
    assert stored["polled_at"] == datetime.fromtimestamp(NOW, UTC).isoformat()


def test_a_line_says_how_many_batches_are_still_to_be_created() -> None:
    batches = [make_batch("completed"), make_batch("in_progress"), make_batch("in_progress")]
    progress = progress_of(batches, NOW, to_come=17)
    assert progress_line(batches, progress, NOW) == "3 of 20 batches, 1 completed, 2 in_progress, 17 to come"
    assert progress.expected_end is None


def test_an_expected_end_on_another_day_is_written_with_its_date() -> None:
    batch = make_batch(in_progress_at=NOW - 36_000, request_counts=RequestCounts(200, 100))
    assert ", ends 2025-09-05 01:33 UTC, " in line(batch)


@pytest.mark.parametrize(
    ("done", "rate"), [(138_312, "138,000"), (1_383, "1,380"), (25, "25"), (7, "7")], ids=lambda value: str(value)
)
def test_a_rate_is_written_in_digits_and_not_in_powers_of_ten(done: int, rate: str) -> None:
    batch = make_batch(in_progress_at=NOW - 60, request_counts=RequestCounts(10**6, done))
    assert f" {rate} rows a minute" in line(batch)


def test_several_batches_are_logged_in_one_line() -> None:
    batches = [
        make_batch("completed", "batch_1", request_counts=RequestCounts(1000, 1000)),
        make_batch("in_progress", "batch_2", in_progress_at=NOW - 60, request_counts=RequestCounts(500, 60)),
        make_batch("in_progress", "batch_3", request_counts=RequestCounts(500)),
    ]
    assert progress_of(batches, NOW).expected_end is None, "one has not begun, so its end is not known"
    assert line(*batches) == ("1,060 of 2,000 rows completed, 60 rows a minute: 3 batches, 1 completed, 2 in_progress")
