"""Results as CSV: what a cell is, and what other programs read of it."""

import csv
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.results.csv_file import write_csv

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from([";", '"', "\r", "=1", "", "'"]))


def written(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path = folder / "results.csv"
    write_csv(rows, path, ["custom_id", "text"], {"custom_id"}, CsvOptions.of(options))
    return path


ROWS: list[dict[str, Any]] = [
    {"custom_id": "007", "text": None},
    {"custom_id": "008", "text": ""},
    {"custom_id": "009", "text": 'a, "b"\r\nc\u2028d;e'},
]


def test_null_is_an_empty_cell_and_an_empty_text_a_quoted_one(tmp_path: Path) -> None:
    assert written(tmp_path, ROWS[:2]).read_bytes() == b'custom_id,text\r\n007,\r\n008,""\r\n'


@pytest.mark.parametrize("options", [{}, {"delimiter": ";"}, {"delimiter": "\t", "quoting": "all"}], ids=str)
def test_polars_and_duckdb_tell_null_from_an_empty_text(options: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path, ROWS, **options)
    separator = options.get("delimiter", ",")
    assert polars.read_csv(path, separator=separator, infer_schema=False).to_dicts() == ROWS
    read = "SELECT * FROM read_csv($path, delim=$separator, allow_quoted_nulls=false, all_varchar=true)"
    found = duckdb.execute(read, {"path": str(path), "separator": separator}).fetchall()
    assert found == [tuple(row.values()) for row in ROWS]


def test_pandas_reads_the_other_texts_as_they_are(tmp_path: Path) -> None:
    """It has no way to tell null from an empty text."""
    frame = pandas.read_csv(written(tmp_path, ROWS), dtype=str, keep_default_na=False)
    assert frame.to_dict("records") == [{**row, "text": row["text"] or ""} for row in ROWS]


@given(value=VALUES, delimiter=st.sampled_from(",;\t|"), quoting=st.sampled_from(["minimal", "all"]))
def test_the_csv_module_reads_every_cell_back(
    value: Any, delimiter: str, quoting: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [{"custom_id": value, "text": value}]
    path = written(tmp_path_factory.getbasetemp(), rows, delimiter=delimiter, quoting=quoting, formula_guard=False)
    with path.open(encoding="utf-8", newline="") as file:
        header, cells = csv.reader(file, delimiter=delimiter, strict=True)
    text = value if isinstance(value, str) else "" if value is None else str(value)
    assert (header, cells) == (["custom_id", "text"], [text.lower() if isinstance(value, bool) else text] * 2)


def test_a_file_for_excel_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = written(tmp_path, [{"custom_id": "a", "text": "很好"}], bom=True, delimiter=";")
    assert path.read_bytes() == b"\xef\xbb\xbf" + "custom_id;text\r\na;很好\r\n".encode()
    assert not written(tmp_path, []).read_bytes().startswith(b"\xef\xbb\xbf")


def test_every_cell_with_a_value_is_quoted_if_that_is_wanted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"custom_id": "a", "text": 1}, {"custom_id": "b", "text": None}]
    assert written(tmp_path, rows, quoting="all").read_bytes() == (b'"custom_id","text"\r\n"a","1"\r\n"b",\r\n')


def test_a_key_is_never_changed_by_the_formula_guard(tmp_path: Path) -> None:
    rows = [{"custom_id": "-a", "text": "-a"}, {"custom_id": "=b", "text": "b"}]
    assert written(tmp_path, rows).read_text().splitlines()[1:] == ["-a,'-a", "=b,b"]


def test_the_formula_guard_counts_the_cells_that_it_changes(tmp_path: Path) -> None:
    rows = [{"custom_id": "=a", "text": "=1+1"}, {"custom_id": "b", "text": "-2"}, {"custom_id": "c", "text": "@x"}]
    path = tmp_path / "results.csv"
    assert write_csv(rows, path, ["custom_id", "text"], {"custom_id"}, CsvOptions()) == 2
    assert write_csv(rows, path, ["custom_id", "text"], (), CsvOptions(formula_guard=False)) == 0
    assert path.read_text().splitlines()[1:] == ["=a,=1+1", "b,-2", "c,@x"]
