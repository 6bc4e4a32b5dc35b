"""The form of a result, as a task asks for it: which columns, and how a CSV file is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253  # it makes the input
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pyarrow import parquet  # noqa: TID253  # it writes the input

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.parsed_shape import shape_of_schema
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, spoiling, submit, write_jsonl
from tests.support.tasks import run_task

ROWS = [{"id": "a", "text": "good", "email": "a@b.c"}, {"id": "-b", "text": "=bad", "email": "d@e.f"}]


def ended(sim: KimiSimulator, hook: KimiHook, source: str) -> list[str]:
    """Batches of an input that have ended."""
    batch_ids = submit(hook, order(source, prompt="{text}", key_column="id"), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    return batch_ids


def results(batch_ids: list[str], folder: Path, source: Any, **parameters: Any) -> dict[str, Any]:
    """Land them, and return the manifest."""
    operator = KimiBatchResultsOperator(
        task_id="results", batch_id=batch_ids, output=str(folder), input=source, key_column="id", **parameters
    )
    manifest: dict[str, Any] = run_task(operator).value
    return manifest


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


@pytest.mark.parametrize(
    ("parameters", "columns"),
    [
        ({}, ["id", "text", "email"]),
        ({"select": ["email", "id"]}, ["email", "id"]),
        ({"exclude": "email"}, ["id", "text"]),
    ],
    ids=str,
)
def test_only_the_chosen_columns_are_landed(
    parameters: Any, columns: list[str], sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    results(ended(sim, hook, source), tmp_path / "out", source, **parameters)
    assert [[*row][1 : len(columns) + 2] for row in rows_in(tmp_path / "out" / "results.jsonl")] == [
        [*columns, "status"]
    ] * 2


def test_the_row_of_a_dead_letter_has_the_chosen_columns_only_and_can_be_asked_again(
    connect: Connect, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    with KimiSimulator(speed=0, responder=spoiling({"a": RowError("engine_error", "it broke")})) as sim:
        hook = connect(sim)
        results(ended(sim, hook, source), tmp_path / "out", source, exclude=["email"])
        (letter,) = rows_in(tmp_path / "out" / "dead_letter.jsonl")
        assert letter["row"] == {"id": "a", "text": "good"}
        again = str(tmp_path / "out" / "dead_letter.jsonl")
        other = Attempt(TaskIdentity("reviews", "manual__1", "again"))
        batch_ids = submit(hook, order(again), other, LogRecord()).batch_ids
        sim.advance(60)
        operator = KimiBatchResultsOperator(
            task_id="again",
            batch_id=batch_ids,
            output=str(tmp_path / "again"),
            input=again,
            exclude=["email"],
            max_failed_ratio=1.0,
        )
        run_task(operator)
    (row,) = rows_in(tmp_path / "again" / "results.jsonl")
    assert (row["custom_id"], row["id"], row["text"]) == ("a", "a", "good")
    assert "email" not in row


@pytest.mark.parametrize("parameter", ["select", "exclude"])
def test_a_column_that_the_input_has_not_fails_the_task_before_anything_is_written(
    parameter: str, sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    batch_ids = ended(sim, hook, source)
    problem = f"{parameter} names columns that no row of the input has: 'mail'. Nothing was landed"
    with pytest.raises(AirflowFailException, match=problem):
        results(batch_ids, tmp_path / "out", source, **{parameter: ["id", "mail"]})
    assert not list(tmp_path.glob("out/*"))
    results(batch_ids, tmp_path / "out", source, **{parameter: ["id"]})


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_images_inside_lists_and_structs_are_left_out(
    output_format: str, sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    image = {"bytes": b"GIF8", "path": "a.gif"}
    row = {"id": "a", "text": "good", "photo": image, "photos": [image, image], "deep": {"a": [{"b": [b"GIF8"]}]}}
    source = tmp_path / "in.parquet"
    parquet.write_table(pa.Table.from_pylist([row]), source)
    results(ended(sim, hook, str(source)), tmp_path / "out", str(source), output_format=output_format)
    path = tmp_path / "out" / f"results.{output_format}"
    readers: dict[str, Callable[[], list[str]]] = {
        "jsonl": lambda: list(rows_in(path)[0]),
        "csv": lambda: path.read_text().splitlines()[0].split(","),
        "parquet": lambda: parquet.read_schema(path).names,
    }
    assert readers[output_format]()[:4] == ["custom_id", "id", "text", "status"]


def test_the_manifest_says_how_many_cells_are_guarded_and_keys_never_are(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    batch_ids = ended(sim, hook, source)
    manifest = results(batch_ids, tmp_path / "out", source, output_format="csv")
    assert manifest["guarded_cells"] == 1
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["guarded_cells"] == 1
    line = (tmp_path / "out" / "results.csv").read_text().splitlines()[2]
    assert line.split(",")[1:3] == ["-b", "'=bad"]
    options = {"formula_guard": False, "delimiter": "\t", "bom": True}
    manifest = results(batch_ids, tmp_path / "bare", source, output_format="csv", csv_options=options)
    assert "guarded_cells" not in manifest
    text = (tmp_path / "bare" / "results.csv").read_bytes().decode("utf-8")
    assert text.startswith("\ufeffcustom_id\tid\ttext\t")
    assert text.splitlines()[2].split("\t")[1:3] == ["-b", "=bad"]


def test_a_key_whose_name_is_taken_is_not_guarded_either(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"status": "-b", "text": "good"}])
    wanted = order(source, prompt="{text}", key_column="status")
    batch_ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    operator = KimiBatchResultsOperator(
        task_id="results",
        batch_id=batch_ids,
        output=str(tmp_path / "out"),
        input=source,
        key_column="status",
        output_format="csv",
    )
    run_task(operator)
    assert (tmp_path / "out" / "results.csv").read_text().splitlines()[1].split(",")[1] == "-b"


def test_a_value_that_does_not_fit_its_declared_type_is_null_and_the_log_says_so(
    connect: Connect, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", ROWS[:1])
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    with KimiSimulator(speed=0, responder=lambda line: Answer('{"n": 123456789012345678901}')) as sim:
        hook = connect(sim)
        check = AnswerCheck(read_schema(schema))
        form = Form("parquet", parsed=shape_of_schema(schema))
        landed = land(hook, tmp_path / "out", ended(sim, hook, source), form=form, check=check)
    (row,) = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert (row["parsed"], row["content"]) == (None, '{"n": 123456789012345678901}')
    assert (
        "Values that do not fit the type of their Parquet column are null there: 1 in 'parsed'." in landed.log.warnings
    )


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"select": ["a"], "exclude": ["b"]}, "select and exclude are both given"),
        ({"exclude": ["b"], "input": None}, "select and exclude choose columns of the input; give input too"),
        ({"csv_options": {"delimiter": ";"}}, "csv_options is given and output_format is 'jsonl'; it must be 'csv'"),
        (
            {"csv_options": {"separator": ";"}, "output_format": "csv"},
            "csv_options has 'separator', which is no option",
        ),
        ({"parsed_columns": True}, "parsed_columns is True; it needs an output_schema"),
        ({"parsed_columns": "yes"}, "parsed_columns is 'yes'; it must be True or False"),
    ],
)
def test_a_form_that_means_nothing_is_refused_while_the_dag_is_parsed(parameters: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        KimiBatchResultsOperator(task_id="results", batch_id="b", output="/tmp", **{"input": "x", **parameters})


@pytest.mark.parametrize("output_format", ["jsonl", "parquet"])
def test_numbers_that_are_not_finite_are_null_and_the_log_counts_them_by_column(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, output_format: OutputFormat
) -> None:
    infinite, no_number = float("inf"), float("nan")
    table = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "text": ["good", "bad", "null", "fine"],
            "score": [infinite, -infinite, 1.5, None],
            "scores": [[1.0, no_number], None, [], [infinite]],
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    source = str(tmp_path / "in.parquet")
    landed = land(hook, tmp_path / "out", ended(sim, hook, source), form=Form(output_format), input=source)
    assert (
        "Numbers of the input that are infinite, or not a number, are null in the results: 2 in 'score', 2 in 'scores'."
        in landed.log.warnings
    )
    if output_format == "parquet":
        rows = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
        assert [row["score"] for row in rows] == [None, None, 1.5, None]


def test_values_that_are_missing_are_not_counted_as_lost(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "text": "null", "score": None}, {"id": "b", "text": "good", "score": 1.5}]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    landed = land(hook, tmp_path / "out", ended(sim, hook, source), input=source)
    assert not [said for said in landed.log.warnings if "not a number" in said]
