"""A result that was landed once, in `golden/earlier`, and what a merge makes of it, in `golden/merged.json`.

The stored result was landed elsewhere, and its batches are on no platform any more.
"""

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.integration.test_merge_with import Platform
from tests.support.landing import Landed, land
from tests.support.rounds import QUICK, YES, Model

GOLDEN = Path(__file__).parent / "golden"

#: What the model says now. `r0` has its answer, and `r6` was never sent.
SAID: dict[str, Answer | RowError | None] = {
    "r1": YES,
    "r2": Answer("positiv", finish_reason="length"),
    "r3": None,
    "r4": Answer("maybe"),
    "r5": RowError("server_error", "it broke", 500),
}

#: What differs from one platform to the next.
_OF_PLATFORM = ("batch_ids", "created_at", "completed_at", "plain_locations")


def plain(landed: Landed) -> dict[str, Any]:
    """What a merge has made, without what is not the same each time."""
    manifest = {name: value for name, value in landed.manifest.items() if not name.endswith("_file")}
    names = {batch_id: f"batch {number}" for number, batch_id in enumerate(manifest["batch_ids"], 1)}
    return {
        "results": [{**row, "batch_id": names[row["batch_id"]]} for row in landed.rows()],
        "dead_letters": landed.rows("dead_letter.jsonl"),
        "answered": sorted(line["custom_id"] for line in landed.rows("output.jsonl")),
        "errors": sorted(line["custom_id"] for line in landed.rows("error.jsonl")),
        "manifest": {name: value for name, value in manifest.items() if name not in _OF_PLATFORM},
    }


@pytest.mark.parametrize("output", ["earlier", "merged"])
def test_a_stored_result_is_merged_as_the_golden_file_says(connect: Connect, tmp_path: Path, output: str) -> None:
    copytree(GOLDEN / "earlier", tmp_path / "earlier")
    with KimiSimulator(speed=0, timing=QUICK, responder=Model(lambda name, times, body: SAID[name])) as sim:
        platform = Platform(sim, connect(sim), tmp_path)
        ids = platform.ask(str(GOLDEN / "earlier" / "dead_letter.jsonl"), on_invalid_row="skip")
        check = AnswerCheck(read_schema(["positive", "negative"]))
        merged = land(platform.hook, tmp_path / output, ids, merge_with=str(tmp_path / "earlier"), check=check)
    assert plain(merged) == json.loads((GOLDEN / "merged.json").read_text(encoding="utf-8"))
