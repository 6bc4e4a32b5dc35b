"""What the page shows of one batch, whoever made it."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.api.replies import read_reply
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.ui.batch_view import view_of, views_of
from airflow_provider_kimi.waiting.progress import progress_line, progress_of
from tests.support.samples import make_batch

NOW = 1_757_000_000


def tagged(**changes: Any) -> dict[str, str]:
    """The metadata of a batch of ours."""
    task: dict[str, Any] = {"dag_id": "reviews", "run_id": "manual__1", "task_id": "label", "map_index": -1} | changes
    return Tags.of_task(TaskIdentity(**task), job_key="j", model="kimi-k2.6").to_metadata({})


def test_the_numbers_of_a_batch_are_those_of_the_xcom_progress() -> None:
    batch = make_batch(created_at=NOW - 660, in_progress_at=NOW - 600, request_counts=RequestCounts(1000, 240, 10))
    view = view_of(batch, NOW)
    assert (view["done"], view["failed"], view["remaining"], view["total"]) == (240, 10, 750, 1000)
    stored = progress_of([batch], NOW).to_dict()
    assert (view["rows_per_minute"], view["expected_end"]) == (stored["rows_per_minute"], stored["expected_end"])
    assert view["rows_per_minute"] == 25
    assert view["age_seconds"] == 660


def test_a_slow_batch_has_a_rate_that_is_not_zero_as_in_the_log() -> None:
    batch = make_batch(created_at=NOW - 36_000, request_counts=RequestCounts(1000, 10))
    assert view_of(batch, NOW)["rows_per_minute"] == 0.0167
    assert "0.0167 rows a minute" in progress_line([batch], progress_of([batch], NOW), NOW)


def test_a_batch_of_ours_leads_to_its_task_instance() -> None:
    view = view_of(make_batch(metadata=tagged(run_id="manual__2026-01-01T00:00:00+00:00")), NOW)
    assert view["task_path"] == "dags/reviews/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/label"
    assert (view["dag_id"], view["task_id"], view["map_index"], view["model"]) == (
        "reviews",
        "label",
        None,
        "kimi-k2.6",
    )


def test_a_batch_of_a_mapped_task_leads_to_its_instance() -> None:
    view = view_of(make_batch(metadata=tagged(map_index=7)), NOW)
    assert view["map_index"] == 7
    assert view["task_path"] == "dags/reviews/runs/manual__1/tasks/label/mapped/7"


@pytest.mark.parametrize("dag_id", ["..", ".", "../../auth/logout", "javascript:alert(1)", "//evil.example/x"])
def test_no_name_leads_elsewhere_than_to_a_task_instance(dag_id: str) -> None:
    path = view_of(make_batch(metadata=tagged(dag_id=dag_id)), NOW)["task_path"]
    assert path is None or (path.startswith("dags/") and path.count("/") == 5 and "/../" not in path)


def test_an_id_that_was_too_long_for_a_tag_leads_nowhere() -> None:
    assert view_of(make_batch(metadata=tagged(run_id="r" * 600)), NOW)["task_path"] is None


def test_a_batch_of_somebody_else_leads_nowhere() -> None:
    view = view_of(make_batch(metadata={"airflow_dag_id": "reviews", "team": "another"}), NOW)
    assert view["task_path"] is None


HOSTILE: list[dict[str, Any]] = [
    {"id": "<script>alert(1)</script>", "status": "<img src=x onerror=alert(1)>"},
    {"id": "b" * 10_240, "status": "in_progress", "request_counts": None, "metadata": None},
    {"id": "batch_2", "status": "no such status", "request_counts": {"total": None, "completed": -1, "failed": 1e300}},
    {"id": "batch_3", "status": None, "created_at": 99999999999999, "metadata": ["a", "list"]},
    {"id": "batch_4", "status": "completed", "metadata": {"airflow_map_index": "9" * 400, "kimi_job_key": "x"}},
    {"id": "batch_5", "status": "", "metadata": {"airflow_dag_id": {"a": 1}, "airflow_task_id": "\x00\ud800"}},
    {"id": "batch_6", "status": "in_progress", "metadata": tagged(dag_id="</script><script>alert(1)</script>")},
    {"id": "batch_7", "status": "in_progress", "metadata": {"airflow_map_index": "²", "airflow_run_id": "x" * 9999}},
]


@pytest.mark.parametrize("sent", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_batch_holds_its_view_is_short_plain_json(sent: dict[str, Any]) -> None:
    view = view_of(read_reply(json.dumps(sent).encode(), Batch), NOW)
    text = json.dumps(view, ensure_ascii=False, allow_nan=False).encode()
    assert len(text) < 6000
    assert all(isinstance(value, (str, int, float, bool, type(None))) for value in view.values())


def test_batches_are_shown_newest_first_and_those_without_a_time_last() -> None:
    batches = [make_batch("completed", name, created_at=at) for name, at in (("b", 2), ("none", None), ("c", 3))]
    assert [view["id"] for view in views_of(batches, NOW)] == ["c", "b", "none"]
