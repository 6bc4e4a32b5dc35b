"""The distance between the labels of two results is exact, and never too large."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.drift import Before, drift_of, labels_before, with_drift
from airflow_provider_kimi.results.quality import OTHER, most_frequent

NAMES = [f"label {number}" for number in range(8)]
LISTED = st.lists(st.integers(0, 10**9), min_size=8, max_size=8).filter(any)
COUNTS = LISTED.map(lambda counts: dict(zip(NAMES, counts, strict=True)))


def distance(now: Mapping[str, int], before: Mapping[str, int]) -> float:
    found = drift_of(now, Before(before))
    assert found is not None
    return float(found["distance"])


def test_the_distance_is_the_share_of_answers_that_would_need_another_label() -> None:
    found = drift_of(
        {"good": 70, "bad": 20, "none": 10}, Before({"good": 500, "bad": 500}, "2026-11-29T03:00:00+00:00")
    )
    assert found == {
        "distance": 0.3,
        "since": "2026-11-29T03:00:00+00:00",
        "moves": [
            {"label": "bad", "before": 0.5, "now": 0.2},
            {"label": "good", "before": 0.5, "now": 0.7},
            {"label": "none", "before": 0.0, "now": 0.1},
        ],
    }


@given(COUNTS, COUNTS)
def test_the_distance_is_a_distance(one: dict[str, int], other: dict[str, int]) -> None:
    found = distance(one, other)
    assert 0 <= found <= 1
    assert found == distance(other, one)
    shares = [{name: Fraction(n, sum(counts.values())) for name, n in counts.items()} for counts in (one, other)]
    assert (found == 0) == ({n: s for n, s in shares[0].items() if s} == {n: s for n, s in shares[1].items() if s})


@given(COUNTS, st.integers(1, 1000))
def test_more_rows_with_the_same_shares_have_not_moved(counts: dict[str, int], times: int) -> None:
    found = drift_of({name: times * count for name, count in counts.items()}, Before(counts))
    assert found is not None
    assert (found["distance"], found["moves"]) == (0, [])


def test_results_without_a_label_in_common_are_one_apart() -> None:
    assert distance({"a": 3}, {"b": 5, "c": 2}) == 1


@given(COUNTS, COUNTS, st.integers(0, 8))
def test_labels_that_the_earlier_result_does_not_name_make_no_drift(
    now: dict[str, int], before: dict[str, int], most: int
) -> None:
    assert distance(now, most_frequent(before, most)) <= distance(now, before)
    assert distance(before, most_frequent(before, most)) == 0


@given(COUNTS, COUNTS)
def test_the_five_labels_that_moved_most_are_named(now: dict[str, int], before: dict[str, int]) -> None:
    found = drift_of(now, Before(before))
    assert found is not None
    sizes = [round(abs(move["now"] - move["before"]), 9) for move in found["moves"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) <= 5


@pytest.mark.parametrize(("now", "before"), [({}, {"a": 1}), ({"a": 1}, {}), ({"a": 0}, {"a": 1})])
def test_a_result_without_labels_is_not_compared(now: dict[str, int], before: dict[str, int]) -> None:
    assert drift_of(now, Before(before)) is None


def test_labels_are_taken_from_a_manifest_and_from_the_extra_of_an_event_of_each_airflow() -> None:
    expected = Before({"a": 1}, "2026-11-29T03:00:00+00:00")
    at = {"completed_at": "2026-11-29T03:00:00+00:00"}
    assert labels_before({"labels": {"a": 1}, **at}) == expected
    assert labels_before({"labels": '{"a": 1}', **at}) == expected  # as Airflow 2 holds the event of an alias
    others: list[dict[str, Any]] = [{}, {"labels": "?"}, {"labels": {"a": "1"}}, {"labels": []}, {"labels": {}}]
    for other in others:
        assert labels_before(other) is None


@pytest.mark.parametrize("labels", [{"a": 1, "b": -1}, {"a": -5}, {"a": True}, {"a": 1.5}])
def test_what_counts_no_labels_is_compared_with_nothing(labels: dict[str, Any]) -> None:
    assert labels_before({"labels": labels}) is None


@pytest.mark.parametrize("since", ["yesterday", "", 5, None])
def test_a_time_that_is_none_is_not_known(since: Any) -> None:
    assert labels_before({"labels": {"a": 1}, "completed_at": since}) == Before({"a": 1})


def manifest(batch_id: str, run_id: str, labels: dict[str, int]) -> Manifest:
    return Manifest(batch_ids=[batch_id], landed_by={"run_id": run_id}, labels=labels)


def test_the_result_that_is_replaced_is_compared_if_nothing_else_is() -> None:
    new, held = manifest("b2", "today", {"a": 1, "b": 1}), manifest("b1", "yesterday", {"a": 1})
    found = with_drift(new, {"a": 1, "b": 1}, held, None)
    assert found.drift
    assert found.drift["distance"] == 0.5
    assert not with_drift(new, {"a": 1}, None, None).drift


@pytest.mark.parametrize("held", [manifest("b2", "other", {"a": 1}), manifest("b1", "today", {"a": 1})])
def test_a_result_is_never_compared_with_an_earlier_landing_of_its_own(held: Manifest) -> None:
    new = manifest("b2", "today", {"b": 1})
    assert not with_drift(new, {"b": 1}, held, None).drift


def test_a_landing_again_keeps_the_drift_where_the_result_before_is_gone() -> None:
    new, before = manifest("b2", "today", {"b": 1}), manifest("b1", "yesterday", {"a": 1})
    first = with_drift(new, {"b": 1}, before, None)
    assert with_drift(new, {"b": 1}, first, None).drift == first.drift


def test_other_labels_of_today_count_as_those_that_the_earlier_result_does_not_name() -> None:
    assert distance({"a": 1, "b": 2, OTHER: 1}, {"a": 1, OTHER: 3}) == 0
