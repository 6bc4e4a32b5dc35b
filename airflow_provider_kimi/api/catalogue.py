"""What the models accept, as data. It changes with each release of a model, and a user may override it.

Sources: the platform's model overview, chat reference, batch guide and batch price page, August to October 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

#: The only model on every published list of batch models.
DEFAULT_MODEL = "kimi-k2.6"

#: Models published as batchable (batch price page, September 2026). Other models are sent with a warning.
BATCH_MODELS = ("kimi-k2.6", "kimi-k2.7-code")

#: Patterns of models that no longer answer, and since when. The first pattern that fits counts.
RETIRED_MODELS = {
    "moonshot-v1-*": "31 August 2026",
    "kimi-k2.5": "31 August 2026",
    "kimi-k2-*": "25 May 2026",
    "kimi-latest": "28 January 2026",
    "kimi-thinking-preview": "11 November 2025",
}

#: Tokens below which thinking is likely to use up a cap: the answer is then empty, and billed. Field reports name
#: 1,024; for ordinary questions K2 models think in one to three thousand tokens.
THINKING_FLOOR_TOKENS = 4096

#: The two names of the cap on reasoning plus answer.
OUTPUT_CAP_KEYS = ("max_completion_tokens", "max_tokens")

#: That cap where a request names none (chat reference, K2 models).
DEFAULT_OUTPUT_CAP = 32_768


class Thinking(msgspec.Struct):
    """What `thinking` has to hold."""

    type: Literal["enabled", "disabled"]


#: How many of something.
Count = Annotated[int, msgspec.Meta(ge=1)]

#: Keys of a request body that are known -> what each may hold, for a machine and for a message (chat reference).
PARAMETER_TYPES: dict[str, tuple[Any, str]] = {
    "max_completion_tokens": (Count, "a whole number above 0"),
    "max_tokens": (Count, "a whole number above 0"),
    "thinking": (Thinking, "{'type': 'enabled'} or {'type': 'disabled'}"),
    "reasoning_effort": (str, "a text"),
    "response_format": (dict[str, Any], "a mapping with a type"),
    "stop": (str | list[str], "a text or a list of texts"),
    "tools": (list[dict[str, Any]], "a list of mappings"),
    "tool_choice": (str | dict[str, Any], "a text or a mapping"),
    "stream": (bool, "true or false"),
    "temperature": (float, "a number"),
    "top_p": (float, "a number"),
    "n": (Count, "a whole number above 0"),
    "presence_penalty": (float, "a number"),
    "frequency_penalty": (float, "a number"),
    "prompt_cache_key": (str, "a text"),
    "safety_identifier": (str, "a text"),
}


class ParameterRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wrong with one key of a request body. A rule has one of the fields but the last.

    :param fixed: The value to which the model itself fixes the key.
    :param forbidden: Why the key may not be sent.
    :param conflicts: Keys that may not be sent beside it. ``thinking:enabled`` and ``thinking:disabled`` stand for the
        state that results from the body and the model's default.
    :param needed_with_tool_calls: States, written in the same way, in which an earlier answer that calls tools has to
        have the key. It is one of a message then, not of the body, and `reasoning_content` is the only one.
    :param values: The values that the rule holds for; None for any. A mapping stands for all that have its pairs.
    """

    fixed: str | None = None
    forbidden: str | None = None
    conflicts: tuple[str, ...] = ()
    needed_with_tool_calls: tuple[str, ...] = ()
    values: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if self.fixed is None and self.forbidden is None and not self.conflicts and not self.needed_with_tool_calls:
            raise ValueError("a rule says what is fixed, forbidden, or conflicts, or is needed with tool calls")


#: Pattern of models -> key of the request body -> rule. Where several patterns fit a model, the later one counts.
PARAMETER_RULES: dict[str, dict[str, ParameterRule | None]] = {
    "*": {
        "temperature": ParameterRule(fixed="1.0 with thinking, 0.6 without"),
        "top_p": ParameterRule(fixed="0.95"),
        "n": ParameterRule(fixed="1"),
        "presence_penalty": ParameterRule(fixed="0"),
        "frequency_penalty": ParameterRule(fixed="0"),
        "stream": ParameterRule(forbidden="a batch cannot stream", values=(True,)),
        "reasoning_effort": ParameterRule(conflicts=("thinking",)),
        "tool_choice": ParameterRule(conflicts=("thinking:enabled",), values=("required", {"type": "function"})),
        "reasoning_content": ParameterRule(needed_with_tool_calls=("thinking:enabled",)),
    },
    "kimi-k2.7-code*": {
        "thinking": ParameterRule(forbidden="this model always thinks", values=({"type": "disabled"},)),
    },
}


#: What a million tokens cost at most, in any currency; more is a slip.
HIGHEST_PRICE = 1_000_000_000

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Price of a million tokens of one model at batch rate.

    :param input: Of prompt tokens that were neither read from the cache nor written to it.
    :param cached: Of prompt tokens that were read from the cache; None where it is not known.
    :param output: Of completion tokens, reasoning among them.
    :param cache_write_5m: Of prompt tokens that were written to the cache to stay for 5 minutes; None where it is not
        known. Answers say how many were written, not for how long.
    :param cache_write_1h: Of those that were written to stay for an hour.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None

    def __post_init__(self) -> None:
        for kind in self.__struct_fields__:
            price: Decimal | None = getattr(self, kind)
            if price is not None and not (price.is_finite() and 0 <= price <= HIGHEST_PRICE):
                raise ValueError(f"{kind} is {price!s:.40}; a price is a number from 0 to {HIGHEST_PRICE:,}")

    @property
    def cache_write(self) -> Decimal | None:
        """The price of tokens that were written to the cache; None where it depends on how long they stay there."""
        prices = {self.cache_write_5m, self.cache_write_1h} - {None}
        return prices.pop() if len(prices) == 1 else None


class PriceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of one region.

    :param currency: `CNY` or `USD`; a list of one's own may have any.
    :param date: When the prices were seen, as in `2026-09-01`.
    :param models: By the exact name of the model, at batch rate.
    :param realtime: The same at the standard rate, which ordinary chat calls are billed at.
    """

    currency: _Text
    date: _Text
    models: Annotated[dict[str, Price], msgspec.Meta(min_length=1)]
    realtime: dict[str, Price] = {}

    @property
    def at_standard_rate(self) -> PriceList:
        """The prices of ordinary chat calls, which may be none."""
        return msgspec.structs.replace(self, models=self.realtime)

    def amount(self, money: Decimal | float) -> str:
        """Write an amount with its currency; a small one keeps its first digits."""
        return f"{money:,.2f} {self.currency}" if money >= 1 else f"{money:.2g} {self.currency}"


def _price(cached: str | None, uncached: str, output: str) -> Price:
    return Price(Decimal(uncached), Decimal(output), None if cached is None else Decimal(cached))


#: Published batch prices, 60 % of the standard ones, by region (batch price page, seen in September 2026), and those
#: standard ones (chat price page, seen at the same time). Taxes are not in the dollar prices.
PRICE_LISTS: Mapping[str, PriceList] = {
    "cn": PriceList(
        "CNY",
        "2026-09-01",
        {
            "kimi-k2.7-code": _price("0.78", "3.90", "16.20"),
            "kimi-k2.6": _price("0.66", "3.90", "16.20"),
            "kimi-k2.5": _price(None, "2.40", "12.60"),
        },
        {
            "kimi-k2.7-code": _price("1.30", "6.50", "27.00"),
            "kimi-k2.6": _price("1.10", "6.50", "27.00"),
        },
    ),
    "intl": PriceList(
        "USD",
        "2026-09-01",
        {
            "kimi-k2.7-code": _price("0.114", "0.57", "2.40"),
            "kimi-k2.6": _price("0.10", "0.57", "2.40"),
            "kimi-k2.5": _price("0.06", "0.36", "1.80"),
        },
        {
            "kimi-k2.7-code": _price("0.19", "0.95", "4.00"),
            "kimi-k2.6": _price("0.16", "0.95", "4.00"),
        },
    ),
}
