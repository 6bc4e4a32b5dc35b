"""The rows of a results file are read as cells, and written as they were."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.results.csv_file import write_csv
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.result_rows import rows_of

VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    st.sampled_from([";", '"', '""', "\r", "\n", "\r\n", "=1", "'=1", "", "'", ",", ",,", '",']),
)
OPTIONS = st.builds(
    CsvOptions,
    delimiter=st.sampled_from([",", ";", "\t", "|", "^", "-", "]"]),
    bom=st.booleans(),
    quoting=st.sampled_from(["minimal", "all"]),
    formula_guard=st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1), options=OPTIONS)
def test_a_csv_file_is_copied_byte_for_byte(tmp_path: Path, rows: list[tuple[Any, ...]], options: CsvOptions) -> None:
    path, copy = tmp_path / "results.csv", tmp_path / "copy.csv"
    names = ["custom_id", 'a "column", with all', "status", "content"]
    held = [dict(zip(names, (str(at), *row), strict=True)) for at, row in enumerate(rows)]
    write_csv(held, path, names, {"custom_id"}, options)
    found = rows_of(path, Form("csv", options))
    assert (found.of_input, found.own) == ([names[1]], names[2:])
    formed = found.write(iter(found), copy)
    assert copy.read_bytes() == path.read_bytes()
    assert formed.guarded == (0 if options.formula_guard else None)


def test_cells_of_a_csv_file_tell_null_from_an_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(b'custom_id,status,content\r\n"a,b",,""\r\n')
    rows = rows_of(path, Form("csv"))
    (cells,) = rows
    assert [rows.value(cell) for cell in cells.values()] == ["a,b", None, ""]


@pytest.mark.parametrize("output_format", ["jsonl", "csv"])
def test_a_file_of_something_else_has_no_columns_of_ours(tmp_path: Path, output_format: Any) -> None:
    path = tmp_path / "results"
    path.write_bytes(b'{"a":1,"b":2}\n')
    assert rows_of(path, Form(output_format)).own == []


def test_columns_of_the_input_that_only_some_lines_have_are_columns_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"custom_id":"a","status":"failed"}\n{"custom_id":"b","text":"x","status":"failed"}\n')
    rows = rows_of(path, Form())
    assert (rows.of_input, rows.own) == (["text"], ["status"])
