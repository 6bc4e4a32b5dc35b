"""What a batch costs: tokens times a dated price list, because the API of the platform has no prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_kimi.api.catalogue import PRICE_LISTS, Price, PriceList
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.fields import said
from airflow_provider_kimi.records.rows import Row

#: Digits after the decimal point of an amount, so that one token of the cheapest kind counts.
_PLACES = 8

#: How many parts of a cost that are not known are named.
_MAX_REASONS = 5


@dataclass
class Usage:
    """Tokens of answered rows.

    Prompt tokens include those read from the cache and written to it, completion tokens include reasoning ones.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, tokens: Usage | Row) -> None:
        """Add the tokens of a row, which may have none, or of several."""
        self.prompt_tokens += tokens.prompt_tokens or 0
        self.cached_tokens += tokens.cached_tokens or 0
        self.completion_tokens += tokens.completion_tokens or 0
        self.reasoning_tokens += tokens.reasoning_tokens or 0
        self.cache_write_tokens += tokens.cache_write_tokens or 0

    def to_dict(self) -> dict[str, int]:
        """Write it as plain JSON; tokens written to the cache are named where there are any."""
        tokens = asdict(self)
        if not self.cache_write_tokens:
            del tokens["cache_write_tokens"]
        return {**tokens, "total_tokens": self.total_tokens}


def read_price_list(given: Mapping[str, Any] | str | None, region: str) -> PriceList:
    """Read a price list of the user, or the rendered text of one; None takes the published one of the region."""
    if given is None:
        return PRICE_LISTS[region]
    try:
        return msgspec.convert(said(given), PriceList, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise KimiInputError(
            f"price_list is not a price list: {error}. Nothing was landed; the results stay on the platform. Pass "
            "prices per million tokens, as in {'currency': 'CNY', 'date': '2026-09-01', 'models': {'kimi-k2.6': "
            "{'input': 3.9, 'cached': 0.66, 'output': 16.2}}}."
        ) from None


def cost_of(usage: Mapping[str | None, Usage], prices: PriceList, uncounted: int = 0) -> dict[str, Any] | None:
    """Say what the tokens of each model cost; None if no model has a price.

    Where a part of the cost is not known, `amount` is None and `reason` says which part.

    :param uncounted: Answers without token counts.
    """
    if not any(model in prices.models for model in usage):
        return None
    unknown = [part for model, tokens in usage.items() for part in _unknown(model, tokens, prices)]
    if uncounted:
        unknown.append(f"{uncounted:,} answer{'s' * (uncounted > 1)} came without token counts")
    cost = {"currency": prices.currency, "amount": None, "price_list_date": prices.date}
    if unknown:
        return {**cost, "reason": "; ".join(unknown[:_MAX_REASONS])}
    amount = sum(_amount(tokens, prices.models[model]) for model, tokens in usage.items() if model in prices.models)
    return {**cost, "amount": round(float(amount), _PLACES)}


def sum_of_costs(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Say what two results cost together, each at its own prices; None if neither cost is known in part."""
    known = [cost for cost in (one, other) if cost is not None]
    if not known:
        return None
    last = known[-1]
    unknown = [str(cost.get("reason")) for cost in known if cost["amount"] is None]
    if len(known) < 2:
        unknown.append("no price of a model of some of the batches is known")
    if known[0]["currency"] != last["currency"]:
        unknown.append(f"a part of it is in {known[0]['currency']}")
    total = {"currency": last["currency"], "amount": None, "price_list_date": last["price_list_date"]}
    if unknown:
        return {**total, "reason": "; ".join(unknown[:_MAX_REASONS])}
    return {**total, "amount": round(sum(cost["amount"] for cost in known), _PLACES)}


def _unknown(model: str | None, tokens: Usage, prices: PriceList) -> Iterator[str]:
    """Say for which tokens of a model there is no price."""
    if not tokens.total_tokens + tokens.cached_tokens + tokens.cache_write_tokens:
        return
    if not model:
        yield f"the model of {tokens.total_tokens:,} tokens is not known"
        return
    price = prices.models.get(model)
    if price is None:
        yield f"the price of model {model:.80} is not known"
    elif tokens.cached_tokens and price.cached is None:
        yield f"the price of cached tokens of model {model:.80} is not known"
    elif tokens.cache_write_tokens and price.cache_write is None:
        yield _unknown_write(model, price)


def _unknown_write(model: str, price: Price) -> str:
    if price.cache_write_5m is None:
        return f"the price of tokens of model {model:.80} that were written to the cache is not known"
    return (
        f"how long the tokens of model {model:.80} that were written to the cache stay there is not known: keep in the "
        "price list cache_write_5m or cache_write_1h, whichever the requests asked for"
    )


def _amount(tokens: Usage, price: Price) -> Decimal:
    uncached = max(tokens.prompt_tokens - tokens.cached_tokens - tokens.cache_write_tokens, 0)
    parts = (
        uncached * price.input,
        tokens.cached_tokens * (price.cached or Decimal(0)),
        tokens.cache_write_tokens * (price.cache_write or Decimal(0)),
        tokens.completion_tokens * price.output,
    )
    return sum(parts, Decimal(0)) / 1_000_000
