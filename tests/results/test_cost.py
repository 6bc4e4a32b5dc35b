"""What a batch costs, to the token."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.results.cost import Usage, cost_of, read_price_list, sum_of_costs
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


@pytest.mark.parametrize(
    ("usage", "uncounted", "reason"),
    [
        ({"kimi-k2.5": Usage(10, 1)}, 0, "the price of cached tokens of model kimi-k2.5 is not known"),
        ({"kimi-k2.6": Usage(100), "kimi-k3": Usage(1)}, 0, "the price of model kimi-k3 is not known"),
        ({"kimi-k2.6": Usage(100), None: Usage(7)}, 0, "the model of 7 tokens is not known"),
        ({"kimi-k2.6": Usage(100)}, 1, "1 answer came without token counts"),
        (
            {"kimi-k2.5": Usage(10, 1), "kimi-k2.6": Usage(1)},
            1200,
            "the price of cached tokens of model kimi-k2.5 is not known; 1,200 answers came without token counts",
        ),
        (
            {"kimi-k2.6": Usage(9, cache_write_tokens=2)},
            0,
            "the price of tokens of model kimi-k2.6 that were written to the cache is not known",
        ),
    ],
)
def test_a_cost_of_which_a_part_is_not_known_is_told_with_the_part(
    usage: dict[str | None, Usage], uncounted: int, reason: str
) -> None:
    cost = cost_of(usage, PRICE_LISTS["cn"], uncounted)
    assert cost == {"currency": "CNY", "amount": None, "price_list_date": "2026-09-01", "reason": reason}


def test_a_model_without_a_price_that_used_no_tokens_costs_nothing() -> None:
    cost = cost_of({"kimi-k2.6": Usage(1_000_000), "kimi-k3": Usage(), None: Usage()}, PRICE_LISTS["cn"])
    assert cost is not None
    assert cost["amount"] == 3.9


def test_the_reason_stays_short_however_many_models_have_no_price() -> None:
    usage: dict[str | None, Usage] = {f"kimi-{'x' * 500}{number}": Usage(1) for number in range(1000)}
    cost = cost_of({"kimi-k2.6": Usage(1), **usage}, PRICE_LISTS["cn"])
    assert cost is not None
    assert len(cost["reason"]) < 1000


def test_the_cost_is_null_where_no_price_is_known_at_all() -> None:
    assert cost_of({"kimi-k3": Usage(1), "kimi-k9": Usage(2)}, PRICE_LISTS["cn"], 3) is None


@pytest.mark.parametrize(
    ("prices", "amount"),
    [
        pytest.param({"cache_write_5m": 20}, 20 + 40, id="5 minutes at the price of the input"),
        pytest.param({"cache_write_1h": "40"}, 20 + 80, id="1 hour at twice the price of the input"),
        pytest.param({"cache_write_5m": 3, "cache_write_1h": 3}, 20 + 6, id="both the same"),
        pytest.param({"cache_write_5m": 20, "cache_write_1h": 40}, None, id="two prices, and nothing says which"),
        pytest.param({}, None, id="no price"),
    ],
)
def test_tokens_that_were_written_to_the_cache_have_a_price_of_their_own(
    prices: dict[str, Any], amount: float | None
) -> None:
    """They are among the prompt tokens, so that those are not counted twice."""
    own = {**OWN, "models": {"kimi-k3": {"input": 20, "output": 100, "cached": 2, **prices}}}
    usage = Usage(4_000_000, 1_000_000, cache_write_tokens=2_000_000)
    cost = cost_of({"kimi-k3": usage}, read_price_list(own, "cn"))
    assert cost is not None
    assert cost["amount"] == (None if amount is None else amount + 2)
    if prices.keys() == {"cache_write_5m", "cache_write_1h"} and amount is None:
        assert "keep in the price list cache_write_5m or cache_write_1h" in cost["reason"]


def test_a_cost_of_more_tokens_than_the_world_has_is_a_number() -> None:
    """Counts are the platform's; landing must not fail on them after the payment."""
    own = {**OWN, "models": {"kimi-k9": {"input": "1000000000", "output": 1}}}
    cost = cost_of({"kimi-k9": Usage(10**30)}, read_price_list(own, "cn"))
    assert cost is not None
    assert cost["amount"] == 1e33


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
        pytest.param("{{ var.value.prices }}", id="not rendered"),
        pytest.param({**OWN, "models": {}}, id="no model"),
        pytest.param({**OWN, "currency": ""}, id="no currency"),
    ],
)
def test_a_value_that_is_not_a_price_list_is_refused(given: Any) -> None:
    with pytest.raises(KimiInputError, match="is not a price list: .* Nothing was landed"):
        read_price_list(given, "cn")


@pytest.mark.parametrize("kind", ["input", "cached", "output", "cache_write_5m", "cache_write_1h"])
@pytest.mark.parametrize(
    "price",
    ["Infinity", "-Infinity", "NaN", "sNaN", "1e30", "1000000001", "-1", "", "None", "dear"]
    + [float("inf"), float("nan"), -0.01, True, False, 10**400],
    ids=lambda price: f"{price!r:.12}",
)
def test_a_price_that_is_none_is_refused_by_its_name(kind: str, price: object) -> None:
    given = {**OWN, "models": {"kimi-k9": {"input": 2, "output": 8, kind: price}}}
    with pytest.raises(KimiInputError, match=kind):
        read_price_list(given, "cn")


def test_a_price_that_is_out_of_bounds_is_named_with_the_bounds() -> None:
    given = {**OWN, "models": {"kimi-k9": {"input": "1e30", "output": 1}}}
    with pytest.raises(KimiInputError, match=r"input is 1E\+30; a price is a number from 0 to 1,000,000,000"):
        read_price_list(given, "cn")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({**OWN, "models": {"kimi-k9": {"input": "2", "cached": " 0.5 ", "output": "8.0"}}}, id="prices"),
        pytest.param(str(OWN), id="the whole list"),
        pytest.param(json.dumps(OWN), id="the whole list as JSON"),
    ],
)
def test_a_price_list_may_come_from_a_template_as_text(given: Any) -> None:
    assert read_price_list(given, "cn") == read_price_list(OWN, "cn")


def test_a_model_may_cost_nothing() -> None:
    own = {**OWN, "models": {"kimi-k9": {"input": 0, "cached": "0", "output": 0.0}}}
    cost = cost_of({"kimi-k9": Usage(5, 2, 3)}, read_price_list(own, "cn"))
    assert cost is not None
    assert cost["amount"] == 0


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


def cost(amount: float | None, currency: str = "CNY", date: str = "2026-09-01", **reason: str) -> dict[str, Any]:
    return {"currency": currency, "amount": amount, "price_list_date": date, **reason}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (None, None, None),
        (cost(0.1), cost(0.2, date="2026-11-01"), cost(0.3, date="2026-11-01")),
        (cost(0.1), None, cost(None, reason="no price of a model of some of the batches is known")),
        (None, cost(0.1), cost(None, reason="no price of a model of some of the batches is known")),
        (cost(None, reason="a"), cost(None, reason="b"), cost(None, reason="a; b")),
        (cost(0.1, "USD"), cost(0.2), cost(None, reason="a part of it is in USD")),
    ],
)
def test_what_two_results_cost_adds_up_as_far_as_it_is_known(one: Any, other: Any, both: Any) -> None:
    assert sum_of_costs(one, other) == both
