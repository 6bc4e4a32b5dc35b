"""The rows of a table, as an input reads them: what is a problem of one row, and what of the whole file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.tables import InputRow


def items_of(folder: Path, name: str, content: bytes) -> list[InputRow]:
    (folder / name).write_bytes(content)
    return list(Input(str(folder / name)))


def test_a_jsonl_table_has_its_rows(tmp_path: Path) -> None:
    """Text that looks like a template or a line end is text."""
    content = '{"a": "x\u2028{{ b }}"}\n{"a": null, "b": [1]}\r\n'.encode()
    assert items_of(tmp_path, "in.jsonl", content) == [
        InputRow({"a": "x\u2028{{ b }}"}),
        InputRow({"a": None, "b": [1]}),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param(b"", "is blank", id="empty"),
        pytest.param(b" \t", "is blank", id="blank"),
        pytest.param(b"[1]", "is JSON, but not an object of columns", id="list"),
        pytest.param(b'"a"', "is JSON, but not an object of columns", id="text"),
        pytest.param(b'{"a": 1', "is not valid JSON (Input data was truncated)", id="cut"),
    ],
)
def test_a_bad_line_of_a_jsonl_table_does_not_stop_the_others(line: bytes, problem: str, tmp_path: Path) -> None:
    """Each problem is reported with its line, and what follows is still read."""
    content = b'{"a": 1}\n' + line + b'\n{"a": 3}\n'
    assert items_of(tmp_path, "in.jsonl", content) == [
        InputRow({"a": 1}),
        InputRow(line, problem),
        InputRow({"a": 3}),
    ]


def test_a_byte_that_is_not_utf8_is_named_by_its_place_in_the_line(tmp_path: Path) -> None:
    assert items_of(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": "x\xff"}\n{"a": 3}') == [
        InputRow({"a": 1}),
        InputRow(b'{"a": "x\xff"}', "is not UTF-8 at byte 8; save the file as UTF-8"),
        InputRow({"a": 3}),
    ]


@pytest.mark.parametrize("before", [b"", b'{"a": 1}\n'], ids=["first line", "another line"])
def test_a_byte_order_mark_is_a_problem_of_its_line(before: bytes, tmp_path: Path) -> None:
    *_, item = items_of(tmp_path, "in.jsonl", before + b'\xef\xbb\xbf{"a": 1}\n')
    assert (
        item.problem
        == "begins with a byte order mark; save the file as UTF-8 without BOM, or pass encoding='utf-8-sig'"
    )


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param("a,b\n1,x\n2,y\n", [("1", "x"), ("2", "y")], id="plain"),
        pytest.param("a,b\r\n1,x\r\n", [("1", "x")], id="Windows"),
        pytest.param("\ufeffa,b\n1,x\n", [("1", "x")], id="byte order mark of a spreadsheet"),
        pytest.param("a,b\n1,x", [("1", "x")], id="no newline at the end"),
        pytest.param('a,b\n"1,2","say ""x"""\n', [("1,2", 'say "x"')], id="quotes"),
        pytest.param('a,b\n1,"x\ny"\n2,z\n', [("1", "x\ny"), ("2", "z")], id="newline in a cell"),
        pytest.param("a,b\n\n1,x\n\n\n", [("1", "x")], id="blank lines"),
        pytest.param("a,b\n,\n", [("", "")], id="empty cells"),
        pytest.param(
            "a,b\n1,x\u2028{{ y }}\u0085\n",
            [("1", "x\u2028{{ y }}\u0085")],
            id="text that looks like a line end or a template",
        ),
        pytest.param("a,b\n", [], id="header only"),
        pytest.param("", [], id="empty"),
    ],
)
def test_a_csv_table_has_its_rows(content: str, rows: list[tuple[str, str]], tmp_path: Path) -> None:
    assert items_of(tmp_path, "in.csv", content.encode()) == [InputRow({"a": a, "b": b}) for a, b in rows]


@given(cells=st.lists(st.text(), min_size=1))
def test_a_csv_cell_keeps_every_character(cells: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    content = "\n".join(['"text"', *quoted, ""]).encode()
    items = items_of(tmp_path_factory.getbasetemp(), "cells.csv", content)
    assert [item.value for item in items] == [{"text": cell} for cell in cells]


def test_a_csv_cell_may_be_long(tmp_path: Path) -> None:
    (item,) = items_of(tmp_path, "in.csv", b"a\n" + b"x" * 300_000 + b"\n")
    assert item.value == {"a": "x" * 300_000}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param(b"1", "has fewer cells than the header has columns", id="short"),
        pytest.param(b"1,2,3", "has more cells than the header has columns", id="long"),
    ],
)
def test_a_csv_row_of_another_width_does_not_stop_the_others(row: bytes, problem: str, tmp_path: Path) -> None:
    told = f"{problem} (it ends in line 3 of the file)"
    cells = row.decode().split(",")
    content = b"a,b\n\n" + row + b"\n5,6\n"
    assert items_of(tmp_path, "in.csv", content) == [InputRow(cells, told), InputRow({"a": "5", "b": "6"})]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b'a\n"x', "is not valid CSV at line 2 (unexpected end of data)", id="open quote"),
        pytest.param(b'a\n"x"y\n', "is not valid CSV at line 2 (',' expected after '\"')", id="after a quote"),
        pytest.param(b"a\n\xff\n", "is not UTF-8 (", id="no UTF-8"),
        pytest.param("a\n中文\n".encode("gbk"), "is not UTF-8 (", id="GBK"),
    ],
)
def test_a_csv_table_that_cannot_be_read_is_refused_as_a_whole(content: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(KimiInputError) as caught:
        items_of(tmp_path, "in.csv", content)
    assert str(caught.value).startswith(f"Input '{tmp_path / 'in.csv'}' {problem}")
    assert "Nothing was sent." in str(caught.value)


@pytest.mark.parametrize("header", [b"a,a", b"a,b,a", b'b,"a",a', b"a,a,a"])
def test_a_csv_column_that_stands_twice_is_refused(header: bytes, tmp_path: Path) -> None:
    """No value silently takes another's place."""
    cells = b",".join([b"1"] * (header.count(b",") + 1))
    with pytest.raises(KimiInputError, match=r" names the column 'a' twice\. Nothing was sent\."):
        items_of(tmp_path, "in.csv", header + b"\n" + cells + b"\n")


@given(rows=st.lists(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none()))))
def test_a_jsonl_table_keeps_every_value(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    items = items_of(tmp_path_factory.getbasetemp(), "rows.jsonl", content)
    assert items == [InputRow(row) for row in rows]
