"""What a batch costs: tokens times a dated price list, because the API of the platform has no prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_kimi.api.catalogue import PRICE_LISTS, Price, PriceList
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.rows import Row

#: Digits after the decimal point of an amount, so that one token of the cheapest kind counts.
_PLACES = Decimal("0.00000001")


@dataclass
class Usage:
    """Tokens of answered rows. Prompt tokens include cached ones, completion tokens include reasoning ones."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

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

    def to_dict(self) -> dict[str, int]:
        """Write it as plain JSON."""
        return {**asdict(self), "total_tokens": self.total_tokens}


def read_price_list(given: Mapping[str, Any] | None, region: str) -> PriceList:
    """Read a price list of the user; None takes the published one of the region."""
    if given is None:
        return PRICE_LISTS[region]
    try:
        return msgspec.convert(given, PriceList, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise KimiInputError(
            f"price_list is not a price list: {error}. Nothing was landed; the results stay on the platform. Pass "
            "prices per million tokens, as in {'currency': 'CNY', 'date': '2026-09-01', 'models': {'kimi-k2.6': "
            "{'input': 3.9, 'cached': 0.66, 'output': 16.2}}}."
        ) from None


def cost_of(usage: Mapping[str | None, Usage], prices: PriceList) -> dict[str, Any] | None:
    """Say what the tokens of each model cost; None if the price of any of them is not known."""
    used = {model: tokens for model, tokens in usage.items() if model or tokens.total_tokens}
    if not used:
        return None
    amount = Decimal(0)
    for model, tokens in used.items():
        price = prices.models.get(model or "")
        if price is None or (tokens.cached_tokens and price.cached is None):
            return None
        amount += _amount(tokens, price)
    return {"currency": prices.currency, "amount": float(amount.quantize(_PLACES)), "price_list_date": prices.date}


def _amount(tokens: Usage, price: Price) -> Decimal:
    uncached = max(tokens.prompt_tokens - tokens.cached_tokens, 0)
    parts = (
        uncached * price.input,
        tokens.cached_tokens * (price.cached or Decimal(0)),
        tokens.completion_tokens * price.output,
    )
    return sum(parts, Decimal(0)) / 1_000_000
