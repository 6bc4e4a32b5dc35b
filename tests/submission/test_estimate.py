"""An estimate of what a job costs is logged before anything is paid for."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.requests.prepare import Prepared
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.submission.estimate import estimate


def estimated(parameters: dict[str, Any], sizes: tuple[int, ...] = (4_000_000,), model: str = "kimi-k2.6") -> str:
    """The estimate for shards of 1,000 requests each."""
    shards = [Shard(number, Slice(Path("x"), 0, size, 1000), "f") for number, size in enumerate(sizes, 1)]
    return estimate(Prepared(shards, model, "f", {}, None, []), parameters, "cn")


def test_an_estimate_names_requests_batches_bytes_tokens_and_money() -> None:
    assert estimated({}) == (
        "1,000 requests in 1 batch: 4,000,000 bytes, about 1,000,000 prompt tokens, about 3.90 CNY. Answers are billed "
        "on top"
    )
    assert estimated({}, (1000, 1000)).startswith("2,000 requests in 2 batches: 2,000 bytes, about 500 prompt tokens")


@pytest.mark.parametrize("key", ["max_completion_tokens", "max_tokens"])
def test_a_cap_on_the_tokens_of_answers_bounds_their_cost(key: str) -> None:
    assert estimated({key: 64}).endswith("Answers are billed on top: at most 1.04 CNY at 64 tokens each")


def test_the_estimate_of_a_small_sum_keeps_its_first_digits() -> None:
    assert "about 0.00039 CNY" in estimated({}, (400,))


def test_an_estimate_names_a_model_without_a_known_price() -> None:
    assert estimated({}, model="kimi-k9").endswith("The batch price of kimi-k9 is not known here")


@pytest.mark.parametrize("cap", [None, "64", 1.5], ids=repr)
def test_a_cap_that_is_not_a_whole_number_bounds_nothing(cap: object) -> None:
    assert estimated({"max_completion_tokens": cap}).endswith("Answers are billed on top")
