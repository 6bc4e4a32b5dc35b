"""The amounts that users set for what a job may cost, and what is refused because of them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.fields import said

if TYPE_CHECKING:
    from airflow_provider_kimi.api.catalogue import PriceList
    from airflow_provider_kimi.jobs.estimate import Estimate

_CHEAPER = (
    "Set max_completion_tokens in request_params to what an answer needs, or give fewer rows, or set a higher max_cost."
)


def read_max_cost(given: object) -> float | None:
    """Read the most that a job may cost: a number, or its text as a template renders it; None sets no limit.

    :raises KimiInputError: It is something else.
    """
    most = _amount(given)
    if most is None or most > 0:
        return most
    raise _no_amount("max_cost", given, "above zero, such as 5 or 0.5,", "no limit")


def read_approve_over(given: object, *, can_ask: bool) -> float | None:
    """Read the amount above which a person is asked: a number, or its text; 0 asks always, and None never.

    :param can_ask: Whether Airflow can ask a person.
    :raises KimiInputError: It is something else, or there is nobody to ask.
    """
    over = _amount(given)
    if over is not None and over < 0:
        raise _no_amount("approve_over", given, "such as 5 or 0.5, or 0 to ask always,", "never asking")
    if over is not None and not can_ask:
        raise KimiInputError(
            "approve_over needs Airflow 3.1 or newer, where a person can approve a task. Nothing was sent. Leave it "
            "out, and set max_cost to refuse what costs more."
        )
    return over


def _amount(given: object) -> float | None:
    """Read an amount of money, or None; what is neither is below zero."""
    amount: Any = said(given)
    is_number = isinstance(amount, int | float) and not isinstance(amount, bool) and isfinite(amount)
    return None if amount is None else float(amount) if is_number else -1.0


def _no_amount(name: str, given: object, amounts: str, none: str) -> KimiInputError:
    return KimiInputError(
        f"{name} is {reprlib.repr(given)}; it must be an amount of money {amounts} in the currency of the prices, or "
        f"None for {none}. Nothing was sent."
    )


def read_dry_run(given: object) -> bool:
    """Read whether only an estimate is wanted: True or False, or its text as a template renders it; None is False.

    :raises KimiInputError: It is something else.
    """
    wanted = said(given.strip().capitalize()) if isinstance(given, str) else given
    if wanted is None or isinstance(wanted, bool):
        return bool(wanted)
    raise KimiInputError(f"dry_run is {reprlib.repr(given)}; it must be True or False. Nothing was sent.")


def check_cost(estimate: Estimate, most: float, prices: PriceList) -> None:
    """Refuse a job that may cost more than it may.

    :raises KimiInputError: It may, or what it costs is not known.
    """
    check_price(estimate, f"max_cost is {prices.amount(most)}", "leave max_cost out")
    if estimate.cost is not None and estimate.cost.high > most:
        raise KimiInputError(
            f"This job may cost more than max_cost={prices.amount(most)}: {described(estimate, prices)}. Nothing was "
            f"uploaded or submitted by this attempt. {_CHEAPER}"
        )


def check_price(estimate: Estimate, limit: str, else_do: str) -> None:
    """Refuse a limit where no price is known.

    :param limit: What is limited, for the message.
    :param else_do: What else helps.
    :raises KimiInputError: The model has no price.
    """
    if estimate.cost is None:
        raise KimiInputError(
            f"{limit}, and the price of model {estimate.model:.80} is not known, so what this job may cost cannot be "
            f"told. Nothing was uploaded or submitted by this attempt. Pass its prices as price_list, or {else_do}."
        )


def round_refused(spent: Mapping[str, Any] | None, estimate: Estimate, most: float, prices: PriceList) -> str | None:
    """Say why a further round is not asked, because it may pass the limit; None if it may not.

    :param spent: The `cost` of the manifest.
    """
    amount: float | None = (spent or {}).get("amount")
    if amount is None or estimate.cost is None:
        known = "what the rounds before have cost" if estimate.cost else f"the price of model {estimate.model:.80}"
        why = f"{known} is not known"
    elif amount + estimate.cost.high > most:
        why = f"{prices.amount(amount)} are spent, and another round may cost more: {described(estimate, prices)}"
    else:
        return None
    return (
        f"{estimate.rows:,} rows without a usable answer are not asked again, because of "
        f"max_cost={prices.amount(most)}: {why}. They end as they are. To ask them after all, set a higher max_cost "
        "and clear this task."
    )


def described(estimate: Estimate, prices: PriceList) -> str:
    """What a job is likely to take, in a phrase."""
    tokens, answers, cost = estimate.prompt, estimate.completion, estimate.cost
    money = f"up to {prices.amount(cost.high)}, likely {prices.amount(cost.expected)}, " if cost else ""
    return (
        f"{money}for {estimate.rows:,} rows with {tokens.low:,} to {tokens.high:,} prompt tokens and at most "
        f"{answers.high:,} completion tokens"
    )
