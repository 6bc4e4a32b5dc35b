"""The page for people beside a result."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.results.report_facts import ReportFacts
from airflow_provider_kimi.simulator import KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.missing import run_without
from tests.support.requests import spoiling, submit_prompts
from tests.support.tasks import run_to_end


def job(folder: Path, **parameters: Any) -> KimiBatchOperator:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"r{n}", "text": f"review {n}"}) + "\n" for n in range(6)))
    own: dict[str, Any] = {"task_id": "label", "input": str(rows), "output": str(folder / "out"), "prompt": "{text}"}
    return KimiBatchOperator(**{**own, "key_column": "id", "poke_interval": 0.2, **parameters})


def test_a_landing_writes_a_page_with_counts_tokens_cost_and_failures(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=10, responder=spoiling({"r3": RowError("server_error", "no")})) as sim:
        connect(sim)
        manifest = run_to_end(job(tmp_path)).value
    page = (tmp_path / "out" / "report.html").read_text()
    assert manifest["report_file"] == f"file://{tmp_path}/out/report.html"
    assert manifest["plain_locations"]["report_file"] == str(tmp_path / "out" / "report.html")
    assert "<bdi>server_error</bdi>" in page
    assert "<bdi>r3</bdi>" in page
    assert f"{manifest['usage']['total_tokens']:,}" in page
    assert f"{manifest['cost']['amount']:,.4f} CNY" in page
    assert "review 1" not in page


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_report_rows_shows_the_text_of_rows_of_any_format_failed_ones_first(
    connect: Connect, tmp_path: Path, output_format: str
) -> None:
    with KimiSimulator(speed=10, responder=spoiling({"r3": RowError("server_error", "no")})) as sim:
        connect(sim)
        run_to_end(job(tmp_path, report_rows=2, output_format=output_format))
    page = (tmp_path / "out" / "report.html").read_text()
    assert re.findall(r"<bdi>review (\d)</bdi>", page) == ["3", "0"]


def test_a_landing_done_again_writes_the_same_page_and_one_beside_a_foreign_page_is_refused(
    connect: Connect, tmp_path: Path
) -> None:
    with KimiSimulator(speed=10) as sim:
        connect(sim)
        run_to_end(job(tmp_path))
        page = (tmp_path / "out" / "report.html").read_bytes()
        run_to_end(job(tmp_path))
        assert (tmp_path / "out" / "report.html").read_bytes() == page
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "report.html").write_text("of somebody else")
        with pytest.raises(KimiInputError, match=r"holds the file report\.html, which no result"):
            run_to_end(job(tmp_path, output=str(tmp_path / "other"), reuse="never"))


@pytest.mark.parametrize("given", [-1, True, "3", None])
def test_report_rows_is_a_whole_number(tmp_path: Path, given: object) -> None:
    with pytest.raises(ValueError, match="report_rows"):
        job(tmp_path, report_rows=given)


def test_without_its_extra_the_page_has_no_bars_and_says_how_to_get_them(tmp_path: Path) -> None:
    program = """
from airflow_provider_kimi.report.page import written_report
from tests.report.facts import batch_of, facts_of, manifest_of
print(written_report(facts_of(manifest_of(), batches=[batch_of(0)])).decode())
"""
    page = run_without(("svg", "svg_py-*", "svg.py-*"), program, tmp_path)
    assert "<svg" not in page
    assert "airflow-provider-kimi[report]" in page
    assert "93.3%" in page


def test_a_page_that_cannot_be_made_holds_back_no_result(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    def broken(_: ReportFacts) -> bytes:
        raise RecursionError

    submission = submit_prompts(hook, 3)
    sim.advance(60)
    landed = land(hook, tmp_path, submission.batch_ids, report=broken)
    assert landed.statuses == {"succeeded": 3}
    assert "report_file" not in landed.manifest
    assert any("report.html could not be made (RecursionError)" in said for said in landed.log.warnings)
