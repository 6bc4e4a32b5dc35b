"""The most that a job may cost, as users and templates write it, and what it refuses."""

import pytest

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.jobs.cost_limit import check_cost, read_dry_run, read_max_cost, round_refused
from airflow_provider_kimi.jobs.estimate import Estimate, Range

PRICES = PRICE_LISTS["cn"]


def estimate(cost: Range | None, model: str = "kimi-k2.6") -> Estimate:
    return Estimate(model, 2_000, Range(100, 110, 120), Range(2_000, 9_000, 32_000), cost, ())


@pytest.mark.parametrize(
    ("given", "most"), [(None, None), ("None", None), (5, 5.0), (0.5, 0.5), ("5", 5.0), (" 0.5 ", 0.5)]
)
def test_a_limit_is_a_number_or_its_text(given: object, most: float | None) -> None:
    assert read_max_cost(given) == most


@pytest.mark.parametrize(
    "given", [0, -1, True, "abc", "", "5 CNY", float("nan"), float("inf"), "1e999", "nan", [5], {"CNY": 5}], ids=repr
)
def test_another_limit_is_refused_in_plain_words(given: object) -> None:
    with pytest.raises(KimiInputError, match=r"max_cost is .* it must be an amount of money above zero"):
        read_max_cost(given)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(True, True), (False, False), ("True", True), ("false", False), (" true", True), (None, False), ("None", False)],
)
def test_a_dry_run_is_a_flag_or_its_text(given: object, wanted: bool) -> None:
    assert read_dry_run(given) is wanted


@pytest.mark.parametrize("given", [1, 0, "yes", "", [], "1"], ids=repr)
def test_another_flag_is_refused(given: object) -> None:
    with pytest.raises(KimiInputError, match="dry_run is .* it must be True or False"):
        read_dry_run(given)


def test_a_job_within_its_limit_is_let_through() -> None:
    check_cost(estimate(Range(1, 2, 3)), 3.0, PRICES)


def test_a_job_that_may_pass_its_limit_is_refused_with_the_numbers() -> None:
    with pytest.raises(KimiInputError) as refused:
        check_cost(estimate(Range(1, 2, 3.5)), 3.0, PRICES)
    assert str(refused.value) == (
        "This job may cost more than max_cost=3.00 CNY: up to 3.50 CNY, likely 2.00 CNY, for 2,000 rows with 100 to "
        "120 prompt tokens and at most 32,000 completion tokens. Nothing was uploaded or submitted by this attempt. "
        "Set max_completion_tokens in request_params to what an answer needs, or give fewer rows, or set a higher "
        "max_cost."
    )


def test_a_job_without_a_known_price_is_refused_with_the_way_out() -> None:
    with pytest.raises(KimiInputError, match=r"the price of model kimi-k9 is not known.*Pass its prices as price_list"):
        check_cost(estimate(None, "kimi-k9"), 3.0, PRICES)


def test_a_round_is_asked_if_all_of_it_fits_beside_what_is_spent() -> None:
    spent = {"currency": "CNY", "amount": 1.0, "price_list_date": "2026-09-01"}
    assert round_refused(spent, estimate(Range(0, 1, 2)), 3.0, PRICES) is None
    refusal = round_refused(spent, estimate(Range(0, 1, 2.1)), 3.0, PRICES)
    assert refusal is not None
    assert "2,000 rows without a usable answer are not asked again, because of max_cost=3.00 CNY: 1.00 CNY" in refusal
    assert "set a higher max_cost" in refusal


@pytest.mark.parametrize("spent", [None, {"currency": "CNY", "amount": None, "reason": "x"}], ids=repr)
def test_a_round_is_not_asked_if_it_is_not_known_what_is_spent(spent: dict[str, object] | None) -> None:
    refusal = round_refused(spent, estimate(Range(0, 0, 0)), 3.0, PRICES)
    assert refusal is not None
    assert "what the rounds before have cost is not known" in refusal


def test_a_round_is_not_asked_if_its_price_is_not_known() -> None:
    refusal = round_refused({"amount": 1.0}, estimate(None), 3.0, PRICES)
    assert refusal is not None
    assert "the price of model kimi-k2.6 is not known" in refusal
