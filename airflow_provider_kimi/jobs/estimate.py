"""What a job may cost before it is submitted: tokens and money as ranges, from a sample of its requests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import mean, stdev
from typing import NamedTuple

from airflow_provider_kimi.api.catalogue import THINKING_FLOOR_TOKENS, Price

#: Requests whose prompt tokens the platform is asked to count, at most and at least; an input with no more is counted
#: whole.
LARGEST_SAMPLE = 30
SMALLEST_SAMPLE = 6

#: How long a sample may take at the rate that the connection allows.
SAMPLE_MINUTES = 2

#: The interval is at least this share of the expected tokens wide on each side, since the platform estimates too.
LEAST_MARGIN = 0.02

#: Bytes of text for each token where nothing was counted: in many texts, and where they have few and many tokens.
BYTES_PER_TOKEN = 4
MOST_BYTES_PER_TOKEN = 6
LEAST_BYTES_PER_TOKEN = 2

#: Tokens of an answer where `output_schema` does not say what it is.
FREE_ANSWER_TOKENS = 250

_MILLION = 1_000_000


class Range(NamedTuple):
    """What is likely, and between which bounds."""

    low: float
    expected: float
    high: float

    def rounded(self, places: int | None = None) -> dict[str, float]:
        """Write it as plain JSON."""
        return {name: round(value, places) for name, value in self._asdict().items()}


class Counted(NamedTuple):
    """One request of a sample.

    :param weight: Bytes of its prompt.
    :param tokens: Tokens of its prompt, as the platform counts them.
    """

    weight: int
    tokens: int


class Asked(NamedTuple):
    """What bounds the answer to a request.

    :param cap: Most tokens that it may have, thoughts included.
    :param thinks: Whether the model thinks before it answers.
    """

    cap: int
    thinks: bool


def sample_size(rows: int, requests_per_minute: float | None) -> int:
    """Say how many requests to count: few where the connection allows few calls a minute."""
    allowed = LARGEST_SAMPLE if requests_per_minute is None else int(requests_per_minute * SAMPLE_MINUTES)
    return min(rows, LARGEST_SAMPLE, max(SMALLEST_SAMPLE, allowed))


def prompt_tokens(counted: Sequence[Counted], rows: int, weight: int, uncounted_bytes: int = 0) -> Range:
    """Estimate the tokens of all prompts: the mean tokens for each byte of a sample, times the bytes of all.

    Low and high are an interval of 95 % confidence.

    :param counted: A sample in which long prompts are as much likelier as they are longer; every request if it has as
        many as there are; empty if nothing could be counted: then bytes are taken for it.
    :param rows: All requests.
    :param weight: The bytes of all their prompts.
    :param uncounted_bytes: Bytes of requests that the platform does not count beforehand. They are in the high end.
    """
    beside = uncounted_bytes / LEAST_BYTES_PER_TOKEN
    if not counted:
        bounds = (MOST_BYTES_PER_TOKEN, BYTES_PER_TOKEN, LEAST_BYTES_PER_TOKEN)
        low, expected, high = (math.ceil(weight / bytes_per_token) for bytes_per_token in bounds)
        return Range(low, expected, math.ceil(high + beside))
    if len(counted) == rows:
        seen = sum(each.tokens for each in counted)
        return Range(seen, seen, math.ceil(seen + beside))
    ratios = [each.tokens / each.weight for each in counted]
    expected = round(weight * mean(ratios))
    margin = max(weight * _error_of_mean(ratios), LEAST_MARGIN * expected)
    return Range(max(0, math.floor(expected - margin)), expected, math.ceil(expected + margin + beside))


def _error_of_mean(sample: Sequence[float]) -> float:
    """What the mean of a sample may be off by, with 95 % confidence."""
    free = len(sample) - 1
    quantile = 1.96 + 2.37 / free + 2.82 / free**2  # of Student's t
    return quantile * stdev(sample) / math.sqrt(len(sample))


def completion_tokens(asked: Mapping[Asked, int], answer_tokens: int) -> Range:
    """Estimate the tokens of all answers: at least one each, at most the cap of each.

    :param asked: How many requests there are of each kind.
    :param answer_tokens: Tokens that an answer is expected to have, without thoughts.
    """
    kinds = asked.items()
    likely = sum(rows * min(kind.cap, answer_tokens + kind.thinks * THINKING_FLOOR_TOKENS) for kind, rows in kinds)
    return Range(sum(asked.values()), likely, sum(rows * kind.cap for kind, rows in kinds))


def cost(prompt: Range, completion: Range, price: Price) -> Range:
    """Say what tokens cost at batch rate if none is read from the cache; in the high end, each is written to it."""
    dearest = max(filter(None, (price.input, price.cache_write_5m, price.cache_write_1h)), default=price.input)
    inputs = (price.input, price.input, dearest)
    amounts = (
        float((Decimal(tokens) * of_input + Decimal(answers) * price.output) / _MILLION)
        for tokens, of_input, answers in zip(prompt, inputs, completion, strict=True)
    )
    return Range(*amounts)


def worst_case(completion: Range, price: Price) -> float:
    """Say what the platform reserves before a batch starts: every answer as long as its cap."""
    return float(Decimal(completion.high) * price.output / _MILLION)


@dataclass(frozen=True)
class Estimate:
    """What a job is likely to take.

    :param cost: None where the model has no price.
    :param assumptions: What it takes for granted, in words.
    """

    model: str
    rows: int
    prompt: Range
    completion: Range
    cost: Range | None
    assumptions: Sequence[str]
