"""The same results as a table of another format."""

import csv
import json
from pathlib import Path
from typing import Any, get_args

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet  # noqa: TID253  # it reads the files

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.formats import BYTES_AT_ONCE, Form, convert
from airflow_provider_kimi.results.parsed_shape import Fields
from airflow_provider_kimi.results.schema import read_schema

FIELDS = AnswerCheck().fields
PARSED_FIELDS = AnswerCheck(read_schema({})).fields
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers(), max_size=2),
)
ROWS = st.lists(st.dictionaries(st.text(min_size=1).filter(lambda name: name not in FIELDS), VALUES, max_size=4))


def written(folder: Path, rows: list[dict[str, Any]], output_format: OutputFormat) -> Path:
    lines = folder / "results.jsonl"
    complete = [dict.fromkeys(FIELDS) | {"custom_id": str(at), "round": 1} | row for at, row in enumerate(rows)]
    lines.write_bytes(b"".join(json.dumps(row).encode("ascii") + b"\n" for row in complete))
    return convert(lines, Form(output_format), FIELDS).path


def as_csv(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    with written(folder, rows, "csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_parquet(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = parquet.read_table(written(folder, rows, "parquet")).to_pylist()
    return read


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (12, "12"),
        (-1.5, "-1.5"),
        ('a,b\n"c"\r\nd', 'a,b\n"c"\r\nd'),
        ("很好\u2028x", "很好\u2028x"),
        ({"a": [1]}, '{"a": [1]}'),
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\n=1", "'\n=1"),
        ("＝1+1", "'＝1+1"),
        ("＠SUM", "'＠SUM"),
        ("-2", "-2"),
        ("+1.50", "+1.50"),
        (["=1"], '["=1"]'),
    ],
    ids=repr,
)
def test_a_csv_cell_shows_its_value_and_is_never_a_formula(value: Any, cell: str, tmp_path: Path) -> None:
    assert as_csv(tmp_path, [{"content": value}])[0]["content"] == cell


def test_the_name_of_a_csv_column_is_never_a_formula(tmp_path: Path) -> None:
    assert "'=1" in as_csv(tmp_path, [{"=1": "a"}])[0]


@given(rows=ROWS)
def test_a_csv_file_has_every_row(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    read = as_csv(tmp_path_factory.getbasetemp(), rows)
    assert [row["custom_id"] for row in read] == [str(at) for at in range(len(rows))]


@pytest.mark.parametrize(
    ("values", "type_", "read"),
    [
        ([1, None, 3], "int64", [1, None, 3]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([True, False], "bool", [True, False]),
        (["a", None], "string", ["a", None]),
        ([None, None], "string", [None, None]),
        (["a", 1, None, [1]], "string", ["a", "1", None, "[1]"]),
        ([2**64, 1], "string", [str(2**64), "1"]),
        ([2**60 + 1, 1], "int64", [2**60 + 1, 1]),
        ([2**60 + 1, 0.5], "string", [str(2**60 + 1), "0.5"]),
        ([True, 1], "string", ["true", "1"]),
    ],
    ids=str,
)
def test_a_parquet_column_has_the_type_of_its_values(
    values: list[Any], type_: str, read: list[Any], tmp_path: Path
) -> None:
    rows = as_parquet(tmp_path, [{"column": value} for value in values])
    assert [row["column"] for row in rows] == read
    assert str(parquet.read_schema(tmp_path / "results.parquet").field("column").type) == type_


def test_long_rows_are_written_to_parquet_in_small_groups(tmp_path: Path) -> None:
    """A group of rows is in memory, so it may not grow with their length."""
    rows = [{"content": "x" * (BYTES_AT_ONCE // 3)} for _ in range(12)]
    assert len(as_parquet(tmp_path, rows)) == 12
    groups = parquet.read_metadata(tmp_path / "results.parquet")
    assert max(groups.row_group(at).num_rows for at in range(groups.num_row_groups)) <= 4


def test_parquet_types_of_result_fields_do_not_depend_on_their_values(tmp_path: Path) -> None:
    written(tmp_path, [{}], "parquet")
    types = {field.name: str(field.type) for field in parquet.read_schema(tmp_path / "results.parquet")}
    assert types["content"] == types["error_code"] == types["model"] == "string"
    assert types["prompt_tokens"] == types["round"] == "int64"


@given(rows=ROWS)
def test_a_parquet_file_has_every_row(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    read = as_parquet(tmp_path_factory.getbasetemp(), rows)
    assert [row["custom_id"] for row in read] == [str(at) for at in range(len(rows))]


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_columns_of_the_input_come_after_the_custom_id(output_format: OutputFormat, tmp_path: Path) -> None:
    rows = [{"b": 1}, {"a": 2, "b": 3}]
    read = as_csv(tmp_path, rows) if output_format == "csv" else as_parquet(tmp_path, rows)
    assert list(read[0]) == ["custom_id", "b", "a", *FIELDS[1:]]


def test_a_field_of_parsed_may_have_the_name_of_a_column_that_is_left_out(tmp_path: Path) -> None:
    shape = Fields((("photo", "string"), ("status", "bool")))
    lines = tmp_path / "results.jsonl"
    row = dict.fromkeys(PARSED_FIELDS) | {
        "custom_id": "a",
        "photo": None,
        "parsed": {"photo": "blurred", "status": True},
    }
    lines.write_text(json.dumps(row) + "\n")
    form = Form("parquet", parsed=shape, spread=shape)
    (read,) = parquet.read_table(convert(lines, form, PARSED_FIELDS, input_types={"photo": None}).path).to_pylist()
    assert (read["photo"], read["parsed_status"], read["status"]) == ("blurred", True, None)


@pytest.mark.parametrize("value", ["text", [1], None, 7], ids=str)
def test_an_answer_that_is_no_object_is_null_in_every_column_of_its_fields(value: Any, tmp_path: Path) -> None:
    """A schema of properties alone accepts it; `content` has its text."""
    shape = Fields((("label", "string"),))
    for output_format in get_args(OutputFormat):
        lines = tmp_path / "results.jsonl"
        lines.write_text(json.dumps(dict.fromkeys(PARSED_FIELDS) | {"custom_id": "a", "parsed": value}) + "\n")
        path = convert(lines, Form(output_format, parsed=shape, spread=shape), PARSED_FIELDS).path
        readers: dict[str, Any] = {"jsonl": polars.read_ndjson, "csv": polars.read_csv, "parquet": polars.read_parquet}
        (read,) = readers[output_format](path).to_dicts()
        assert read["label"] is None
        assert list(read) == ["custom_id", "status", "content", "label", *PARSED_FIELDS[4:]]


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_a_result_without_rows_is_a_table_with_columns(output_format: OutputFormat, tmp_path: Path) -> None:
    path = written(tmp_path, [], output_format)
    names = path.read_text().strip().split(",") if output_format == "csv" else parquet.read_schema(path).names
    assert names == list(FIELDS)
