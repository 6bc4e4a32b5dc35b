"""Estimates: what is likely lies between its bounds, and the bounds hold the truth."""

import random
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.catalogue import THINKING_FLOOR_TOKENS, Price
from airflow_provider_kimi.jobs.estimate import (
    LARGEST_SAMPLE,
    SMALLEST_SAMPLE,
    Asked,
    Counted,
    Range,
    completion_tokens,
    cost,
    prompt_tokens,
    sample_size,
    worst_case,
)

PRICE = Price(Decimal("3.90"), Decimal("16.20"), Decimal("0.66"))

weights = st.integers(1, 10**6)
samples = st.lists(st.builds(Counted, weights, st.integers(0, 10**6)), min_size=SMALLEST_SAMPLE, max_size=30)
kinds = st.dictionaries(st.builds(Asked, st.integers(1, 200_000), st.booleans()), st.integers(1, 10**6), min_size=1)
prices = st.builds(
    Price,
    st.decimals(0, 1000, places=4),
    st.decimals(0, 1000, places=4),
    cache_write_1h=st.none() | st.decimals(0, 2000, places=4),
)


def in_order(found: Range) -> bool:
    return 0 <= found.low <= found.expected <= found.high


@given(samples | st.just([]), st.integers(30, 10**7), st.integers(1, 10**10), st.integers(0, 10**6))
def test_prompt_tokens_are_between_their_bounds(
    counted: list[Counted], rows: int, weight: int, uncounted_bytes: int
) -> None:
    assert in_order(prompt_tokens(counted, rows, weight, uncounted_bytes))


@given(kinds, st.integers(1, 10**6), prices, samples)
def test_completion_tokens_and_cost_are_between_their_bounds(
    asked: dict[Asked, int], answer: int, price: Price, counted: list[Counted]
) -> None:
    completion = completion_tokens(asked, answer)
    prompt = prompt_tokens(counted, 10**7, 10**8)
    assert in_order(completion)
    assert in_order(cost(prompt, completion, price))
    assert worst_case(completion, price) <= cost(prompt, completion, price).high


@given(samples, st.integers(1, 10**9), st.integers(1, 10**9), kinds)
def test_more_rows_never_cost_less(counted: list[Counted], weight: int, more: int, asked: dict[Asked, int]) -> None:
    few, many = (
        cost(prompt_tokens(counted, 10**7, size), completion_tokens(by_kind, 9), PRICE)
        for size, by_kind in ((weight, asked), (weight + more, {kind: 2 * rows for kind, rows in asked.items()}))
    )
    assert all(less < more for less, more in zip(few, many, strict=True))


@given(st.lists(st.builds(Counted, weights, st.integers(0, 10**6)), min_size=1, max_size=30))
def test_an_input_that_is_counted_whole_is_known(counted: list[Counted]) -> None:
    seen = sum(each.tokens for each in counted)
    assert prompt_tokens(counted, len(counted), sum(each.weight for each in counted)) == (seen, seen, seen)


def test_what_nobody_counts_is_in_the_high_end_only() -> None:
    counted = [Counted(100, 25)] * 10
    without, with_tools = prompt_tokens(counted, 500, 50_000), prompt_tokens(counted, 500, 50_000, 4_000)
    assert with_tools == (without.low, without.expected, without.high + 2_000)


def test_without_a_count_bytes_are_taken_for_tokens() -> None:
    assert prompt_tokens([], 10, 1_200) == (200, 300, 600)


def test_an_answer_is_never_expected_to_be_longer_than_its_cap() -> None:
    assert completion_tokens({Asked(16, False): 10, Asked(4, False): 5}, 8) == (15, 100, 180)
    assert completion_tokens({Asked(100_000, True): 2}, 8) == (2, 2 * (THINKING_FLOOR_TOKENS + 8), 200_000)
    assert completion_tokens({Asked(64, True): 2}, 8) == (2, 128, 128)


def test_a_cost_is_tokens_times_the_published_prices() -> None:
    assert cost(Range(1e6, 2e6, 3e6), Range(0, 1e6, 2e6), PRICE) == pytest.approx((3.9, 24.0, 44.1))
    dear = Price(Decimal(1), Decimal(10), cache_write_5m=Decimal(1), cache_write_1h=Decimal(2))
    assert cost(Range(1e6, 1e6, 1e6), Range(0, 0, 0), dear) == (1, 1, 2)


@pytest.mark.parametrize(
    ("rows", "rate", "size"),
    [(5, None, 5), (30, 3, 6), (1000, None, LARGEST_SAMPLE), (1000, 500, LARGEST_SAMPLE), (1000, 10, 20), (1000, 1, 6)],
)
def test_few_requests_are_counted_where_few_calls_are_allowed(rows: int, rate: float | None, size: int) -> None:
    assert sample_size(rows, rate) == size


def mixed(chance: random.Random) -> Counted:
    """English and Chinese, whose bytes hold unlike numbers of tokens; few rows are very long."""
    size = int(chance.lognormvariate(5, 1)) + 1
    return Counted(16 + size, 4 + int(size / chance.choice((2.2, 4.5))))


def pictured(chance: random.Random) -> Counted:
    """A picture beside a short text: most tokens are none of the text's."""
    return Counted(chance.randrange(150, 250), chance.choice((800, 1_100, 1_400)))


def even(chance: random.Random) -> Counted:
    size = chance.randrange(30, 300)
    return Counted(16 + size, 4 + size // 3)


@pytest.mark.parametrize("kind", [mixed, pictured, even])
def test_the_interval_holds_the_truth_in_9_of_10_samples(kind: Callable[[random.Random], Counted]) -> None:
    """It promises 95 of 100. 400 samples tell 9 of 10 from less; 20 do not."""
    chance = random.Random(0)
    rows = [kind(chance) for _ in range(2_000)]
    weights, truth = [row.weight for row in rows], sum(row.tokens for row in rows)
    samples = (chance.choices(rows, weights, k=LARGEST_SAMPLE) for _ in range(400))
    found = [prompt_tokens(sample, len(rows), sum(weights)) for sample in samples]
    assert sum(each.low <= truth <= each.high for each in found) >= 360
