"""Adding up what results have cost, whatever the manifests in XComs say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.ui.spend import Landed, costs_of_batches, shares_of, spend_since
from tests.ui.database import SAMPLE

AT = 1_780_000_000.0

#: What each batch has truly cost, in units that floats add up exactly.
TRUE_COSTS = {f"batch_{number}": float(2**number) for number in range(8)}


def landed(
    *names: str, amount: float | None = None, at: float = AT, currency: str = "CNY", dag_id: str = "d"
) -> Landed:
    return Landed(dag_id, frozenset(names), at, amount, "" if amount is None else currency, 100)


def spend(*results: Landed, since: float = 0) -> dict[str, Any]:
    return spend_since(shares_of(results), since)


def read(**changes: Any) -> Landed:
    manifest = Manifest.of_value(SAMPLE | changes)
    assert manifest is not None
    return Landed.of(manifest, "reviews", AT)


SETS = st.frozensets(st.sampled_from(sorted(TRUE_COSTS)), min_size=1)


@st.composite
def honest_results(draw: st.DrawFn) -> list[Landed]:
    """Results of any batches, each of which costs what its batches have cost, or says that it does not know."""
    results = []
    for names in draw(st.lists(SETS, max_size=12)):
        amount = sum(TRUE_COSTS[name] for name in names)
        results.append(landed(*names, amount=draw(st.sampled_from([amount, amount, None])), at=draw(st.floats(0, 9))))
    return results


@given(honest_results())
def test_no_batch_counts_twice_however_results_overlap(results: list[Landed]) -> None:
    shares = shares_of(results)
    named = [batch_id for share in shares for batch_id in share.batch_ids]
    assert len(named) == len(set(named))
    assert set(named) == set().union(*(result.batch_ids for result in results))
    for share in shares:
        assert share.amount in (None, sum(TRUE_COSTS[name] for name in share.batch_ids))


@given(st.lists(st.builds(landed, st.sampled_from("abc"), st.sampled_from("abc"), amount=st.floats(0, 9)), max_size=9))
def test_no_batch_counts_twice_whatever_manifests_say(results: list[Landed]) -> None:
    named = [batch_id for share in shares_of(results) for batch_id in share.batch_ids]
    assert len(named) == len(set(named))
    assert all(amount >= 0 for amount in spend(*results)["amounts"].values())


def test_a_result_that_is_landed_twice_counts_once_as_it_was_landed_last() -> None:
    first, again = landed("a", amount=2, at=1), landed("a", amount=3, at=2)
    assert spend(first, again, again) == {"amounts": {"CNY": 3}, "unknown": 0}


def test_another_round_and_a_merge_count_what_they_have_cost_more_on_the_day_on_which_they_have() -> None:
    results = landed("a", amount=2, at=10), landed("a", "b", amount=5, at=20), landed("a", "b", "c", amount=9, at=30)
    assert spend(*results) == {"amounts": {"CNY": 9}, "unknown": 0}
    assert spend(*results, since=15) == {"amounts": {"CNY": 7}, "unknown": 0}


def test_currencies_are_never_added() -> None:
    results = landed("a", amount=2), landed("b", amount=1, currency="USD"), landed("c", amount=0.5)
    assert spend(*results) == {"amounts": {"CNY": 2.5, "USD": 1}, "unknown": 0}


def test_results_whose_cost_is_not_known_are_counted_once() -> None:
    assert spend(landed("a"), landed("a"), landed("b"), landed("c", amount=1)) == {"amounts": {"CNY": 1}, "unknown": 2}
    assert spend(landed("a"), landed("a", amount=1)) == {"amounts": {"CNY": 1}, "unknown": 0}
    assert spend(landed("a", "b"), landed("a", amount=1)) == {"amounts": {"CNY": 1}, "unknown": 1}


def test_of_results_that_share_some_batches_only_the_rest_is_unknown() -> None:
    assert spend(landed("a", "b", amount=3), landed("b", "c", amount=3)) == {"amounts": {"CNY": 3}, "unknown": 1}


def test_a_batch_has_the_cost_of_the_smallest_result_that_names_it() -> None:
    results = landed("a", "b", amount=5), landed("a", amount=2), landed("a"), landed("z", amount=1)
    assert costs_of_batches(results, ["a", "b", "c"]) == {
        "a": {"amount": 2, "currency": "CNY", "tokens": 100, "batches": 1},
        "b": {"amount": 5, "currency": "CNY", "tokens": 100, "batches": 2},
    }


def test_a_result_counts_on_the_day_on_which_its_batches_ended() -> None:
    result = read(completed_at="2026-05-01T00:00:00+00:00")
    assert (result.at, result.amount, result.currency, result.tokens) == (1_777_593_600, 0.0002232, "CNY", 32)


@pytest.mark.parametrize("completed_at", [None, "", "soon", "2026-05-01", "9999-12-31T23:59:59+00:00", "0001-01-01"])
def test_a_time_that_cannot_be_is_that_of_the_landing(completed_at: str | None) -> None:
    assert read(completed_at=completed_at).at == AT


@pytest.mark.parametrize(
    "cost",
    [
        None,
        {},
        {"currency": "CNY", "amount": None, "reason": "the price of model x is not known"},
        {"currency": "CNY", "amount": -1},
        {"currency": "CNY", "amount": True},
        {"currency": "CNY", "amount": "2"},
        {"currency": "CNY", "amount": float("nan")},
        {"currency": "CNY", "amount": float("inf")},
        {"currency": "CNY", "amount": 10**400},
        {"currency": "", "amount": 1},
        {"currency": ["CNY"], "amount": 1},
        {"currency": "C" * 10_000, "amount": 1},
    ],
    ids=range(12),
)
def test_a_cost_that_cannot_be_is_not_known(cost: Any) -> None:
    assert (read(cost=cost).amount, read(cost=cost).currency) == (None, "")


def test_tokens_that_cannot_be_are_not_known() -> None:
    assert [read(usage=usage).tokens for usage in ({}, {"total_tokens": -1}, {"total_tokens": 10**400})] == [None] * 3
