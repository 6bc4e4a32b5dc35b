"""Whether a pilot passes: by its unusable rows, and by what all rows would cost at its price."""

from collections import Counter

import pytest

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.jobs.pilot import faults_of_pilot, pilot_failed, pilot_limits
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.failure_limits import read_limits
from airflow_provider_kimi.results.tally import Tally

PRICES = PRICE_LISTS["cn"]
COST = {"currency": "CNY", "amount": 0.5, "price_list_date": "2026-09-01"}


def tally(**counts: int) -> Tally:
    return Tally(Counter(counts))


@pytest.mark.parametrize(
    ("ratio", "has_rounds", "failed", "passes"),
    [
        pytest.param(None, False, 20, True, id="a fifth where nothing is said"),
        pytest.param(None, False, 21, False, id="more than a fifth where nothing is said"),
        pytest.param({"failed": 0.5}, False, 21, False, id="a limit for one status sets none for all rows"),
        pytest.param(0.01, False, 2, False, id="the limit of the task"),
        pytest.param(0.5, False, 50, True, id="a high limit of the task"),
        pytest.param(0.01, True, 20, True, id="rounds may put a fifth right"),
        pytest.param(None, True, 21, False, id="also where the task sets none"),
        pytest.param(0.01, True, 21, False, id="and no more"),
        pytest.param(0.5, True, 50, True, id="a high limit of a task with rounds"),
    ],
)
def test_a_pilot_passes_by_its_share_of_unusable_rows(
    ratio: float | dict[str, float] | None, has_rounds: bool, failed: int, passes: bool
) -> None:
    limits = pilot_limits(read_limits(None, ratio), has_rounds=has_rounds)
    faults = faults_of_pilot(
        tally(succeeded=100 - failed, failed=failed), COST, 1000, limits, max_cost=None, prices=PRICES
    )
    assert (not faults) is passes


def test_a_pilot_without_any_usable_row_does_not_pass() -> None:
    limits = pilot_limits(read_limits(), has_rounds=False)
    assert faults_of_pilot(tally(invalid=10), COST, 1000, limits, max_cost=None, prices=PRICES) == [
        "100.00% unusable rows are more than the limit of a pilot=0.2"
    ]


@pytest.mark.parametrize(("most", "passes"), [(5.0, True), (4.99, False)])
def test_a_pilot_passes_by_what_all_rows_would_cost_at_its_price(most: float, passes: bool) -> None:
    faults = faults_of_pilot(tally(succeeded=100), COST, 1000, [], max_cost=most, prices=PRICES)
    assert (not faults) is passes
    if faults:
        assert faults == [
            "at its 0.5 CNY, all 1,000 rows would cost 5.00 CNY, which is more than max_cost=4.99 CNY",
        ]


@pytest.mark.parametrize("cost", [None, {"currency": "CNY", "amount": None, "reason": "uncounted"}])
def test_a_pilot_whose_cost_is_not_known_does_not_pass_a_limit_of_cost(cost: dict[str, object] | None) -> None:
    (fault,) = faults_of_pilot(tally(succeeded=100), cost, 1000, [], max_cost=5.0, prices=PRICES)
    assert fault == "what it has cost is not known, and max_cost=5.00 CNY"


def test_a_failed_pilot_says_what_is_landed_what_was_not_asked_and_what_to_do() -> None:
    manifest = Manifest(
        batch_ids=["batch_1"],
        results_file="file:///out/pilot/results.jsonl",
        usage={"prompt_tokens": 10, "completion_tokens": 20},
        cost=COST,
    )
    error = pilot_failed(["a reason"], tally(succeeded=1, invalid=9), manifest, 1000)
    assert not error.retryable
    for words in (
        "The pilot did not pass: a reason. 10 rows: 1 succeeded, 9 invalid.",
        "It is landed in file:///out/pilot/results.jsonl, for 10 prompt and 20 completion tokens, 0.5000 CNY.",
        "The other 990 rows were not asked, and cost nothing.",
        "clear this task",
    ):
        assert words in str(error)
