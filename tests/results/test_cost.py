"""What a batch costs, to the token."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.results.cost import Usage, cost_of, read_price_list
from tests.support.samples import make_settings

OWN = {"currency": "CNY", "date": "2026-11-01", "models": {"kimi-k9": {"input": 2, "cached": 0.5, "output": 8.0}}}


def amount(usage: Usage, model: str = "kimi-k2.6", region: str = "cn") -> Any:
    cost = cost_of({model: usage}, PRICE_LISTS[region])
    return None if cost is None else cost["amount"]


@pytest.mark.parametrize(
    ("usage", "yuan"),
    [
        pytest.param(Usage(prompt_tokens=1_000_000), 3.90, id="input"),
        pytest.param(Usage(prompt_tokens=1_000_000, cached_tokens=1_000_000), 0.66, id="cached input"),
        pytest.param(Usage(completion_tokens=1_000_000), 16.20, id="output"),
        pytest.param(Usage(completion_tokens=1_000_000, reasoning_tokens=1_000_000), 16.20, id="reasoning"),
        pytest.param(Usage(30, 16, 69, 3), (14 * 3.90 + 16 * 0.66 + 69 * 16.20) / 1e6, id="all of them"),
        pytest.param(Usage(), 0.0, id="nothing"),
        pytest.param(Usage(cached_tokens=10), 0.66e-5, id="more cached than read"),
    ],
)
def test_the_cost_is_tokens_times_the_batch_price(usage: Usage, yuan: float) -> None:
    """60 % of the standard price, not half."""
    assert amount(usage) == pytest.approx(yuan)


def test_the_cost_is_in_the_currency_of_the_region() -> None:
    cost = cost_of({"kimi-k2.6": Usage(prompt_tokens=1_000_000)}, PRICE_LISTS["intl"])
    assert cost == {"currency": "USD", "amount": 0.57, "price_list_date": "2026-09-01"}


@given(rows=st.lists(st.tuples(*[st.integers(0, 10**6)] * 3)))
def test_the_cost_does_not_depend_on_how_rows_are_grouped(rows: list[tuple[int, int, int]]) -> None:
    total = Usage()
    for row in rows:
        total.add(Usage(*row))
    alone = sum(amount(Usage(*row)) for row in rows)
    uncached = [row for row in rows if row[0] >= row[1]]
    if uncached == rows:
        assert amount(total) == pytest.approx(alone)


def test_the_cost_of_several_models_is_their_sum() -> None:
    usage: dict[str | None, Usage] = {"kimi-k2.6": Usage(100), "kimi-k2.5": Usage(100)}
    cost = cost_of(usage, PRICE_LISTS["cn"])
    assert cost is not None
    assert cost["amount"] == pytest.approx((3.90 + 2.40) / 1e4)


@pytest.mark.parametrize("model", ["kimi-k3", "kimi-k2.6-0901", "", "KIMI-K2.6"])
def test_the_cost_is_unknown_without_a_price_of_the_model(model: str) -> None:
    assert amount(Usage(1, 0, 1), model) is None
    assert amount(Usage(), model) is None


def test_the_cost_is_unknown_without_a_price_of_cached_tokens() -> None:
    assert amount(Usage(10, 0, 1), "kimi-k2.5") == pytest.approx(36.6e-6)
    assert amount(Usage(10, 1, 1), "kimi-k2.5") is None


def test_the_cost_is_unknown_without_a_price_of_one_of_the_models() -> None:
    usage: dict[str | None, Usage] = {"kimi-k2.6": Usage(100), "kimi-k3": Usage(1)}
    assert cost_of(usage, PRICE_LISTS["cn"]) is None


def test_the_cost_is_unknown_without_a_model() -> None:
    assert cost_of({None: Usage(1)}, PRICE_LISTS["cn"]) is None
    assert cost_of({None: Usage()}, PRICE_LISTS["cn"]) is None
    assert cost_of({}, PRICE_LISTS["cn"]) is None


def test_a_price_list_of_the_user_replaces_the_published_one() -> None:
    prices = read_price_list(OWN, "intl")
    assert cost_of({"kimi-k9": Usage(1_000_000, 500_000, 1_000_000)}, prices) == {
        "currency": "CNY",
        "amount": 9.25,
        "price_list_date": "2026-11-01",
    }
    assert cost_of({"kimi-k2.6": Usage(1)}, prices) is None


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="empty"),
        pytest.param({**OWN, "models": {"kimi-k9": 3.9}}, id="one number"),
        pytest.param({**OWN, "models": {"kimi-k9": {"input": "dear", "output": 1}}}, id="not a number"),
        pytest.param({**OWN, "models": {"kimi-k9": {"input": 1, "output": 1, "hit": 1}}}, id="unknown kind"),
        pytest.param([], id="a list"),
    ],
)
def test_a_value_that_is_not_a_price_list_is_refused(given: Any) -> None:
    with pytest.raises(KimiInputError, match="is not a price list: .* Nothing was landed"):
        read_price_list(given, "cn")


@pytest.mark.parametrize(
    ("settings", "region"),
    [
        ({}, "cn"),
        ({"region": "intl"}, "intl"),
        ({"host": "https://gateway.example/v1", "region": "intl"}, "intl"),
        ({"host": "https://gateway.example/v1"}, "cn"),
        ({"host": "https://api.moonshot.ai/v1"}, "intl"),
        ({"host": "https://api.moonshot.ai/v1", "region": "cn"}, "intl"),
    ],
    ids=str,
)
def test_prices_are_those_of_the_host_or_else_of_the_region_of_the_connection(
    settings: dict[str, Any], region: str
) -> None:
    assert make_settings(**settings).billing_region == region
