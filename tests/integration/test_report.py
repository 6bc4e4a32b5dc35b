"""The page for people beside a result."""

import json
from pathlib import Path
from typing import Any

from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.requests import spoiling
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
