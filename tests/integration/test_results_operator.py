"""The results operator: what it returns and pushes, and when it fails."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.simulator import KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.requests import spoiling, submit_prompts
from tests.support.tasks import links_of_batch, run_task


def test_the_results_operator_returns_the_manifest_and_pushes_file_ids(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit_prompts(hook, 3)
    sim.advance(60)
    operator = KimiBatchResultsOperator(
        task_id="results", batch_id=submission.batch_ids, output=f"file://{tmp_path}/{{{{ day }}}}"
    )
    attempt = run_task(operator, day="monday")
    assert attempt.value == json.loads((tmp_path / "monday" / "manifest.json").read_text())
    assert attempt.ti.xcoms == {
        "output_file": f"file://{tmp_path}/monday/output.jsonl",
        "error_file": None,
        "plain_locations": {
            "results_file": f"{tmp_path}/monday/results.jsonl",
            "output_file": f"{tmp_path}/monday/output.jsonl",
            "report_file": f"{tmp_path}/monday/report.html",
        },
        "output_file_ids": [sim.batches[submission.batch_ids[0]].output_file_id],
        "error_file_ids": [],
        "manifest": attempt.value,
        **links_of_batch(submission.batch_ids[0]),
    }
    assert len(json.dumps(attempt.value)) < 8000


def test_the_results_operator_fails_if_no_row_has_a_usable_answer(connect: Connect, tmp_path: Path) -> None:
    """The message names the most common error, and the result is landed."""
    with KimiSimulator(speed=0, responder=lambda line: RowError("engine_error", "it broke")) as sim:
        submission = submit_prompts(connect(sim), 3)
        sim.advance(60)
        operator = KimiBatchResultsOperator(
            task_id="results", batch_id=submission.batch_ids, output=str(tmp_path / "out")
        )
        with pytest.raises(AirflowFailException) as caught:
            run_task(operator)
    assert "no row has a usable answer" in str(caught.value)
    assert "most common error, 3 times: engine_error: it broke" in str(caught.value)
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("limits", "fails"),
    [
        ({}, False),
        ({"max_failed_rows": 2}, False),
        ({"max_failed_rows": 1}, True),
        ({"max_failed_ratio": 0.2}, False),
        ({"max_failed_ratio": 0.1}, True),
    ],
    ids=["no limit", "as many rows as accepted", "one row too many", "the accepted share", "too large a share"],
)
def test_the_results_operator_accepts_failed_rows_up_to_the_limit(
    connect: Connect, tmp_path: Path, limits: dict[str, Any], fails: bool
) -> None:
    """Too many fail the task for good, since landing the same again heals nothing; rounds are a later part."""
    with KimiSimulator(speed=0, responder=spoiling({"row-00000001": None, "row-00000002": None})) as sim:
        submission = submit_prompts(connect(sim), 10)
        sim.advance(60)
        operator = KimiBatchResultsOperator(
            task_id="results", batch_id=submission.batch_ids, output=str(tmp_path / "out"), **limits
        )
        if not fails:
            assert run_task(operator).value["counts"]["missing"] == 2
            return
        with pytest.raises(AirflowFailException, match="2 missing"):
            run_task(operator)
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    "limit", [{"max_failed_rows": -1}, {"max_failed_ratio": 5}, {"max_failed_ratio": -0.1}], ids=str
)
def test_the_results_operator_refuses_a_wrong_limit_while_the_dag_is_parsed(limit: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limit))):
        KimiBatchResultsOperator(task_id="results", batch_id="batch_1", output="/tmp/out", **limit)


def test_any_program_reads_a_result_at_its_plain_location(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    """Airflow's URI of it is no path, and a name that looks escaped is not."""
    batch_ids = submit_prompts(hook, 3).batch_ids
    sim.advance(60)
    operator = KimiBatchResultsOperator(task_id="results", batch_id=batch_ids, output=f"{tmp_path}/标签 50%25 #1")
    place = run_task(operator).value["plain_locations"]["results_file"]
    assert [len(rows) for rows in (pandas.read_json(place, lines=True), polars.read_ndjson(place))] == [3, 3]
    with duckdb.connect() as database:
        assert database.execute(f"SELECT count(*) FROM read_json('{place}')").fetchall() == [(3,)]
    assert len(Path(place).read_text().splitlines()) == 3
