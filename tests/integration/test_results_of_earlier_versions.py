"""Results that another version has landed are not made worse by this one."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

TABLE = [{"id": f"k{number}", "text": f"text {number}"} for number in range(5)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def landed_by_an_earlier_version(
    sim: KimiSimulator, hook: KimiHook, out: Path, name: OutputFormat, **wanted: Any
) -> list[str]:
    """Land a table; then forget what an earlier version neither noted in the batch nor counted in the manifest."""
    wanted.setdefault("key_column", None)
    submission = submit(hook, order(lambda: TABLE, prompt="Classify {text}", **wanted), ATTEMPT, LogRecord())
    sim.advance(60)
    land(hook, out, submission.batch_ids, input=lambda: TABLE, form=Form(name))
    for batch_id in submission.batch_ids:
        metadata = sim.batches[batch_id].metadata
        assert metadata is not None
        del metadata["kimi_recipe"]
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["input_changes"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    return submission.batch_ids


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("key_column", [None, "id"], ids=["no key", "a wrong key"])
def test_a_result_of_an_earlier_version_keeps_the_columns_that_a_new_landing_cannot_find(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, name: OutputFormat, key_column: str | None
) -> None:
    out = tmp_path / "out"
    ids = landed_by_an_earlier_version(sim, hook, out, name)
    before = files_of(out)
    with pytest.raises(KimiInputError, match=r"has columns of the input \(id, text\), and the new one would have none"):
        land(hook, out, ids, input=lambda: TABLE, key_column=key_column, form=Form(name))
    assert files_of(out) == before
    assert len(land(hook, tmp_path / "other", ids, input=lambda: TABLE).rows()) == 5


def test_a_result_of_an_earlier_version_is_landed_again_with_its_columns_by_key(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ids = landed_by_an_earlier_version(sim, hook, tmp_path / "out", "jsonl", key_column="id")
    again = land(hook, tmp_path / "out", ids, input=lambda: TABLE, key_column="id")
    assert [row["text"] for row in again.rows()] == [row["text"] for row in TABLE]
    assert len(land(hook, tmp_path / "out", ids).rows()) == 5, "no columns are wanted any more"


@pytest.mark.parametrize(
    "later",
    [{"schema_version": 2}, {"schema_version": 2, "counts": {"rows": {"ok": 5}}}, {"counts": {}}, {"counts": None}],
    ids=str,
)
def test_a_result_of_a_later_version_is_kept(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, later: dict[str, Any]
) -> None:
    ids = submit(hook, order(["one", "two"]), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    land(hook, tmp_path, ids)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | later))
    before = files_of(tmp_path)
    with pytest.raises(KimiInputError, match="in a way that this version of the provider can read"):
        land(hook, tmp_path, ids)
    assert files_of(tmp_path) == before
