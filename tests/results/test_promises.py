"""Which files an ended batch owes, and whether an earlier result holds all of them."""

from typing import Any

import pytest

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.promises import holds_all, lacking_files, poorer, still_to_come
from tests.support.samples import make_batch


@pytest.mark.parametrize(
    ("status", "counts", "lacking"),
    [
        ("completed", RequestCounts(2, 2, 0), ["output"]),
        ("completed", RequestCounts(2, 1, 1), ["output", "error"]),
        ("completed", RequestCounts(2, 0, 2), ["error"]),
        ("completed", RequestCounts(2, 0, 0), ["output"]),
        ("completed", None, ["output"]),
        ("expired", RequestCounts(10, 6, 0), ["output"]),
        ("cancelled", RequestCounts(10, 0, 1), ["error"]),
        ("cancelled", RequestCounts(10, 0, 0), []),
        ("cancelled", RequestCounts(0, 0, 0), []),
        ("cancelled", None, ["output"]),
        ("failed", RequestCounts(10, 0, 0), []),
        ("failed", None, []),
    ],
)
def test_an_ended_batch_without_files_owes_those_that_its_counts_promise(
    status: str, counts: RequestCounts | None, lacking: list[str]
) -> None:
    batch = make_batch(status, request_counts=counts)
    assert lacking_files(batch) == lacking
    assert ("clear this task later" in still_to_come([batch])) is bool(lacking)


def test_an_ended_batch_that_names_its_files_owes_none() -> None:
    for counts in (RequestCounts(2, 1, 1), None):
        assert (
            lacking_files(make_batch("completed", request_counts=counts, output_file_id="o", error_file_id="e")) == []
        )


def manifest(**rows: int) -> Manifest:
    return Manifest(batch_ids=["batch_1"], counts={"total": sum(rows.values()), **rows})


@pytest.mark.parametrize(
    ("status", "counts", "rows", "is_whole"),
    [
        pytest.param("completed", (10, 10, 0), {"succeeded": 10}, True, id="all rows"),
        pytest.param("completed", (10, 9, 1), {"succeeded": 8, "truncated": 1, "failed": 1}, True, id="all kinds"),
        pytest.param("completed", (10, 9, 0), {"succeeded": 9, "missing": 1}, True, id="the platform forgot a row"),
        pytest.param("completed", (10, 10, 0), {"succeeded": 8, "missing": 2}, False, id="rows are missing"),
        pytest.param("completed", (10, 10, 0), {"succeeded": 9, "failed": 1}, False, id="a line was cut"),
        pytest.param("completed", (10, 10, 0), {"succeeded": 9}, False, id="fewer rows"),
        pytest.param("completed", (10, 10, 0), {"succeeded": 10, "invalid": 2}, True, id="rows were left out"),
        pytest.param("expired", (10, 6, 0), {"succeeded": 6, "expired": 4}, True, id="all rows that were done"),
        pytest.param("expired", (10, 6, 0), {"succeeded": 5, "expired": 5}, False, id="a row that was done lacks"),
        pytest.param("failed", (10, 0, 0), {"failed": 10}, True, id="a batch that failed as a whole"),
        pytest.param("completed", (0, 0, 0), {"succeeded": 10}, False, id="nothing was counted"),
    ],
)
def test_an_earlier_result_is_whole_only_if_its_rows_are_those_that_the_platform_counts(
    status: str, counts: tuple[int, int, int], rows: dict[str, int], is_whole: bool
) -> None:
    names: dict[str, Any] = {"output_file_id": "o", "error_file_id": "e"}
    batch = make_batch(status, request_counts=RequestCounts(*counts), **names)
    assert holds_all(manifest(**rows), [batch]) is is_whole


def test_rows_of_a_batch_that_failed_do_not_stand_in_for_rows_that_another_lacks() -> None:
    failed = make_batch("failed", "batch_2", request_counts=RequestCounts(10, 0, 0))
    completed = make_batch("completed", request_counts=RequestCounts(10, 10, 0), output_file_id="o")
    assert not holds_all(manifest(failed=10, succeeded=5, missing=5), [failed, completed])
    assert holds_all(manifest(failed=10, succeeded=10), [failed, completed])


def with_answers(whole: int, cut: int, **rows: int) -> Manifest:
    counts = {"total": 5, "succeeded": 5, **rows}
    return Manifest(batch_ids=["batch_1"], counts=counts, answers={"whole": whole, "cut": cut})


@pytest.mark.parametrize(
    ("new", "lacks"),
    [
        (with_answers(2, 0, succeeded=2, invalid=3), "2 answers with text fewer than"),
        (with_answers(3, 0, succeeded=3, truncated=2), "1 answers with text fewer than"),
        (with_answers(3, 2, succeeded=3, truncated=2), "1 whole answers fewer than"),
        (with_answers(0, 5, succeeded=0, truncated=5), "4 whole answers fewer than"),
    ],
)
def test_a_result_whose_answers_have_become_empty_or_cut_is_poorer(new: Manifest, lacks: str) -> None:
    assert lacks in poorer(new, with_answers(4, 0, succeeded=4, failed=1))


@pytest.mark.parametrize(
    "new",
    [with_answers(4, 0, succeeded=0, invalid=5), with_answers(5, 0), with_answers(4, 1, succeeded=4, truncated=1)],
)
def test_a_result_that_refuses_more_answers_or_has_more_of_them_is_not_poorer(new: Manifest) -> None:
    assert poorer(new, with_answers(4, 0, succeeded=4, invalid=1)) == ""


def test_nothing_is_concluded_from_a_manifest_that_does_not_count_answers_with_text() -> None:
    assert poorer(with_answers(0, 0, succeeded=0, invalid=5), manifest(succeeded=5)) == ""
