"""`max_cost`: a job that may cost more is refused before anything is uploaded, and so is a further round."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator, Timing
from tests.conftest import Connect
from tests.support.tasks import run_task, run_to_end

QUICK = Timing(validating_seconds=1, working_seconds=5, finalizing_seconds=1)
LABELLED: dict[str, Any] = {"output_schema": ["positive", "negative"], "on_too_many_failed": "warn"}
PAYING = {"upload_file", "create_batch"}


def job(folder: Path, rows: int = 40, **parameters: Any) -> KimiBatchOperator:
    table = folder / "reviews.jsonl"
    table.write_text("".join(json.dumps({"id": f"r{n}", "text": f"review {n}"}) + "\n" for n in range(rows)))
    return KimiBatchOperator(
        **{
            **{"task_id": "job", "input": str(table), "output": f"{folder}/out", "key_column": "id"},
            **{"prompt": "Positive or negative? {text}", "thinking": "disabled", "poke_interval": 0.1},
            **{"request_params": {"max_completion_tokens": 100}, **parameters},
        }
    )


def names(sim: KimiSimulator) -> list[str]:
    return [call.name for call in sim.journal]


@pytest.mark.parametrize("most", [0.06, "0.06", "{{ params.most }}"])
def test_a_job_that_may_cost_more_is_refused_with_the_numbers_and_no_upload(
    connect: Connect, tmp_path: Path, most: Any
) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException) as refused:
            run_task(job(tmp_path, max_cost=most), params={"most": 0.06})
        assert not PAYING & set(names(sim))
        assert sim.file_ids("batch") == []
    said = str(refused.value)
    assert "This job may cost more than max_cost=0.06 CNY: up to 0.067 CNY, likely 0.067 CNY, for 40 rows" in said
    assert "at most 4,000 completion tokens. Nothing was uploaded or submitted by this attempt." in said
    assert "Set max_completion_tokens in request_params" in said


def test_a_job_within_its_limit_is_submitted_and_stays_within(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=20, timing=QUICK) as sim:
        connect(sim)
        manifest = run_to_end(job(tmp_path, max_cost=0.07)).value
    assert manifest["counts"]["succeeded"] == 40
    assert manifest["cost"]["amount"] <= 0.07


def test_a_dollar_account_counts_in_dollars(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim, region="intl")
        with pytest.raises(AirflowFailException, match=r"max_cost=0\.001 USD: up to 0\.0099 USD"):
            run_task(job(tmp_path, max_cost=0.001))


def test_a_limit_without_a_known_price_is_refused_with_the_way_out(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException, match="the price of model kimi-k3 is not known.*price_list"):
            run_task(job(tmp_path, model="kimi-k3", max_cost=5))
        assert not PAYING & set(names(sim))


def test_work_that_an_earlier_attempt_has_submitted_is_not_refused(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=20, timing=QUICK) as sim:
        connect(sim)
        run_task(job(tmp_path))
        estimates = names(sim).count("estimate_tokens")
        manifest = run_to_end(job(tmp_path, max_cost=0.001)).value
        assert names(sim).count("estimate_tokens") == estimates
    assert manifest["counts"]["succeeded"] == 40
    assert len(manifest["batch_ids"]) == 1


def test_an_attempt_that_finds_half_of_the_work_submits_the_rest_within_the_limit(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=20, timing=QUICK) as sim:
        connect(sim)
        operator = job(tmp_path, max_cost=0.07, max_rows_per_batch=20)
        sim.inject("create_batch", status=400, skip=1, times=1)
        with pytest.raises(AirflowFailException, match="1 of the 2 batches of this task exist"):
            run_task(operator)
        manifest = run_to_end(operator).value
        assert len(sim.batches) == 2
    assert manifest["counts"]["succeeded"] == 40


def test_an_attempt_that_finds_half_of_the_work_says_so_when_the_limit_is_lower_now(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        sim.inject("create_batch", status=400, skip=1, times=1)
        with pytest.raises(AirflowFailException):
            run_task(job(tmp_path, max_rows_per_batch=20))
        with pytest.raises(AirflowFailException, match=r"more than max_cost=0\.01 CNY.* 1 of the 2 batches"):
            run_task(job(tmp_path, max_rows_per_batch=20, max_cost=0.01))
        assert len(sim.batches) == 1


class Rambles:
    """Answers some rows with no label the first time, which is billed."""

    def __init__(self, rambling: int) -> None:
        self.rambling = {f"r{number}" for number in range(rambling)}
        self.asked: set[str] = set()

    def __call__(self, request: Mapping[str, Any]) -> Answer:
        name = request["custom_id"]
        rambles = name in self.rambling and name not in self.asked
        self.asked.add(name)
        return Answer("who knows " * 9 if rambles else "positive")


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(("most", "rounds"), [(0.07, 1), (0.2, 2)])
def test_a_round_that_may_pass_the_limit_is_not_asked(
    connect: Connect, tmp_path: Path, most: float, rounds: int, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first round costs nearly 0.067 CNY, its high end; all of its answers are to be asked again."""
    with KimiSimulator(speed=20, timing=QUICK, responder=Rambles(40)) as sim:
        connect(sim)
        manifest = run_to_end(job(tmp_path, **LABELLED, max_rounds=3, max_cost=most, deferrable=deferrable)).value
        assert len(sim.batches) == rounds
    assert manifest["rounds"] == rounds
    assert manifest["counts"]["succeeded"] == (0 if rounds == 1 else 40)
    assert manifest["cost"]["amount"] <= most
    refusal = "40 rows without a usable answer are not asked again, because of max_cost=0.07 CNY"
    assert (refusal in capsys.readouterr().out) == (rounds == 1)


def test_a_clear_with_a_higher_limit_asks_the_round_that_was_refused(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=20, timing=QUICK, responder=Rambles(40)) as sim:
        connect(sim)
        first = run_to_end(job(tmp_path, **LABELLED, max_rounds=2, max_cost=0.07)).value
        second = run_to_end(job(tmp_path, **LABELLED, max_rounds=2, max_cost=1)).value
        assert len(sim.batches) == 2
    assert (first["counts"]["succeeded"], second["counts"]["succeeded"]) == (0, 40)


@pytest.mark.parametrize(("balance", "warns"), [(0.05, True), (0.064, True), (0.066, False), (1000.0, False)], ids=str)
def test_a_balance_below_what_the_platform_reserves_is_warned_of(
    connect: Connect, tmp_path: Path, balance: float, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 rows of 100 tokens at 16.20 CNY a million are 0.0648 CNY."""
    with KimiSimulator(speed=0, balance=balance) as sim:
        connect(sim)
        run_task(job(tmp_path))
        assert names(sim).count("get_balance") == 1
        assert names(sim).index("get_balance") < names(sim).index("upload_file")
    logged = capsys.readouterr().out
    said = f"The balance is {balance:.2g} CNY. Before batches start, the platform reserves about 0.065 CNY for these 40"
    assert (said in logged) == warns


def test_a_balance_that_cannot_be_read_stops_nothing(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        sim.inject("get_balance", status=500, times=None)
        run_task(job(tmp_path))
        assert len(sim.batches) == 1
        assert names(sim).count("get_balance") == 1
    assert "The balance could not be read" in capsys.readouterr().out
