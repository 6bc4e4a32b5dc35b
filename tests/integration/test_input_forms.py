"""An input of another form is labelled, and its columns land beside the answers, without being told twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

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


@pytest.mark.parametrize("source", [["one"], lambda: ["one"]], ids=["list", "function"])
@pytest.mark.parametrize(
    ("parameters", "named"),
    [({"csv_options": {"delimiter": ";"}}, "csv_options"), ({"encoding": "gb18030"}, "encoding")],
    ids=["csv_options", "encoding"],
)
def test_the_form_of_files_is_refused_beside_rows_while_the_dag_is_parsed(
    source: Any, parameters: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=rf"{named} says how files are written, and input is a \w+.*leave {named} out"):
        KimiCreateBatchOperator(task_id="create", input=source, **parameters)


def test_the_usual_encoding_beside_rows_is_accepted() -> None:
    KimiCreateBatchOperator(task_id="create", input=["one"], encoding="UTF8")


def test_a_way_of_sending_media_is_refused_if_no_column_holds_any() -> None:
    with pytest.raises(ValueError, match="media is 'upload', and neither image_column nor video_column is given"):
        KimiCreateBatchOperator(task_id="create", input=["one"], media="upload")


@pytest.mark.parametrize(
    ("name", "content", "parameters", "problem"),
    [
        ("in.jsonl", b'{"text": "a"}', {"csv_options": {"delimiter": ";"}}, "csv_options .*holds no .csv or .tsv file"),
        ("in.json", b'[{"text": "a"}]', {"csv_options": {"delimiter": ","}}, "csv_options .*holds no .csv or .tsv"),
        ("in.parquet", b"", {"encoding": "gb18030"}, "encoding .*holds .parquet files only"),
    ],
)
def test_the_form_of_other_files_than_those_of_the_input_is_refused(
    tmp_path: Path, name: str, content: bytes, parameters: dict[str, Any], problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for source in (tmp_path / name, tmp_path):
        task = KimiCreateBatchOperator(task_id="create", input=str(source), prompt="{text}", **parameters)
        with pytest.raises(AirflowFailException, match=rf"{problem}.*Nothing was sent. Leave it out"):
            run_task(task)


def test_the_form_of_some_files_of_an_input_is_accepted(sim: KimiSimulator, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "hi"}\n')
    (tmp_path / "b.csv").write_text("id;text\n1;hi\n")
    assert created(sim, str(tmp_path), csv_options={"delimiter": ";"})


def test_rows_of_another_task_beside_the_form_of_files_are_refused_before_anything_is_sent(
    sim: KimiSimulator,
) -> None:
    task = KimiCreateBatchOperator(task_id="create", input="{{ rows }}", prompt="{text}", encoding="gb18030")
    task.input = [{"text": "hi"}]
    with pytest.raises(AirflowFailException, match=r"encoding says how files are written.*Nothing was sent"):
        run_task(task)
    assert "upload_file" not in [call.name for call in sim.journal]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("in.csv", csv_of(";", "utf-16"), "is not gb18030"),
        ("in.csv", b'"id";"text"\n"1";"\xff"\n', "is not gb18030"),
    ],
)
def test_results_of_a_file_of_another_form_than_the_create_read_say_which_form_they_read(
    sim: KimiSimulator, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    source = tmp_path / name
    source.write_bytes(csv_of(";", "gb18030"))
    batch_ids = created(sim, str(source), csv_options={"delimiter": ";"}, encoding="gb18030")
    source.write_bytes(content)
    with pytest.raises(AirflowFailException, match=problem) as caught:
        landed(tmp_path / "out", batch_id=batch_ids, input=str(source))
    said = str(caught.value)
    assert "The results read their input as its create did, as gb18030 with ';' between cells." in said
    assert "Nothing was landed" in said
    assert "Pass encoding" not in said
    assert "Correct encoding" not in said


def test_results_of_a_file_that_was_saved_in_another_encoding_since_name_no_parameter_that_they_lack(
    sim: KimiSimulator, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(csv_of(",", "utf-8"))
    batch_ids = created(sim, str(source))
    for content in (csv_of(",", "gb18030"), csv_of(",", "utf-16"), csv_of(";", "utf-8")):
        source.write_bytes(content)
        with pytest.raises(AirflowFailException, match="looks") as caught:
            landed(tmp_path / "out", batch_id=batch_ids, input=str(source))
        said = str(caught.value)
        assert "as its create did, as utf-8. Give the file in that form" in said
        assert "Pass " not in said


def test_results_of_an_input_of_another_form_than_the_create_read_need_no_option(
    sim: KimiSimulator, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(csv_of(";", "gb18030"))
    batch_ids = created(sim, str(source), csv_options={"delimiter": ";"}, encoding="gb18030")
    for given in (ROWS, lambda: ROWS):
        rows = landed(tmp_path / "out", batch_id=batch_ids, input=given)
        assert [row["text"] for row in rows] == [row["text"] for row in ROWS]
