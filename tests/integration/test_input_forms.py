"""An input of another form is labelled, and its columns land beside the answers, without being told twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.tasks import run_task

pytestmark = pytest.mark.usefixtures("hook")

ROWS = [{"id": "甲", "text": '很好, "sic"; 非常'}, {"id": "乙", "text": "太差"}]


def csv_of(delimiter: str, encoding: str) -> bytes:
    cells = [["id", "text"], *(list(row.values()) for row in ROWS)]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in cells]
    return "".join(delimiter.join(line) + "\r\n" for line in quoted).encode(encoding)


def created(sim: KimiSimulator, source: str, **parameters: Any) -> list[str]:
    task = KimiCreateBatchOperator(task_id="create", input=source, prompt="Classify {text}", **parameters)
    batch_ids: list[str] = run_task(task).value
    sim.advance(60)
    return batch_ids


def landed(folder: Path, **parameters: Any) -> list[dict[str, Any]]:
    run_task(KimiBatchResultsOperator(task_id="results", output=str(folder), **parameters))
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("key_column", [None, "id"])
@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [
        ("in.csv", ";", "gb18030"),
        ("in.csv", ";", "utf-8"),
        ("in.csv", ",", "gbk"),
        ("in.TSV", "\t", "utf-16"),
    ],
)
def test_the_results_read_a_table_as_the_create_was_told_to(
    sim: KimiSimulator, tmp_path: Path, name: str, delimiter: str, encoding: str, key_column: str | None
) -> None:
    source = tmp_path / name
    source.write_bytes(csv_of(delimiter, encoding))
    options = None if delimiter in (",", "\t") else {"delimiter": delimiter}
    batch_ids = created(sim, str(source), csv_options=options, encoding=encoding, key_column=key_column)
    rows = landed(tmp_path / "out", batch_id=batch_ids, input=str(source))
    assert [(row["id"], row["text"], row["status"], row["input_change"]) for row in rows] == [
        (row["id"], row["text"], "succeeded", None) for row in ROWS
    ]


def test_the_partitions_of_an_input_are_columns_of_the_prompt_and_of_the_results(
    sim: KimiSimulator, tmp_path: Path
) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        (tmp_path / "in" / f"day={day}").mkdir(parents=True)
        (tmp_path / "in" / f"day={day}" / "part.ndjson").write_text('{"text": "hi"}\n')
    task = KimiCreateBatchOperator(task_id="create", input=str(tmp_path / "in"), prompt="{day}: {text}")
    batch_ids = run_task(task).value
    sim.advance(60)
    (file_id,) = sim.file_ids("batch")
    assert b'"2026-01-02: hi"' in sim.file_content(file_id)
    rows = landed(tmp_path / "out", batch_id=batch_ids, input=str(tmp_path / "in" / "**" / "*.ndjson"))
    assert [(row["day"], row["input_change"]) for row in rows] == [("2026-01-01", None), ("2026-01-02", None)]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"csv_options": {"delimiter": ";;"}}, r"csv_options\['delimiter'\] is ';;'"),
        ({"csv_options": ";"}, "csv_options is ';'; it must be a dict"),
        ({"encoding": "gb-18031"}, "encoding is 'gb-18031'; it must be the name of an encoding"),
    ],
)
def test_a_form_that_does_not_exist_is_refused_while_the_dag_is_parsed(
    parameters: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        KimiCreateBatchOperator(task_id="create", input="in.csv", prompt="{text}", **parameters)
