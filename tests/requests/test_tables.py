"""The rows of JSON lines and CSV tables, plain or gzip, and what of a file cannot be read at all."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.requests.tables import InputRow, read_table

JSONL = '{"id": "r1", "text": "评价\u2028"}\n{"id": "r2", "text": null}\n'.encode()
CSV = 'id,text\nr1,"评价, ""sic""\u2028"\n\nr2,\n'.encode()


def written(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def items_of(folder: Path, name: str, content: bytes) -> list[InputRow]:
    (file,) = find_files(written(folder, name, content))
    return list(read_table(file))


def values_of(folder: Path, name: str, content: bytes) -> list[Any]:
    items = items_of(folder, name, content)
    assert not [item.problem for item in items if item.problem]
    return [item.value for item in items]


def problem_of(folder: Path, name: str, content: bytes) -> str:
    with pytest.raises(KimiInputError) as caught:
        items_of(folder, name, content)
    message = str(caught.value)
    assert message.startswith(f"Input {str(folder / name)[:200]!r} ")
    assert " Nothing was sent. " in message
    return message


def table_of(rows: int) -> dict[str, bytes]:
    """The same table in both kinds; its text is hard to compress, so that its gzip has many blocks."""
    texts = [f"{number * 7919 % 1_000_003:x}" * 3 for number in range(rows)]
    return {
        "jsonl": "".join(f'{{"id": "{number}", "text": "{text}"}}\n' for number, text in enumerate(texts)).encode(),
        "csv": ("id,text\n" + "".join(f"{number},{text}\n" for number, text in enumerate(texts))).encode(),
    }


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("in.jsonl", JSONL, [{"id": "r1", "text": "评价\u2028"}, {"id": "r2", "text": None}]),
        ("in.csv", CSV, [{"id": "r1", "text": '评价, "sic"\u2028'}, {"id": "r2", "text": ""}]),
    ],
    ids=["jsonl", "csv"],
)
def test_a_compressed_table_has_the_same_rows(
    name: str, content: bytes, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    """A Unicode line end ends no row."""
    packed = gzip.compress(content)
    assert values_of(tmp_path, name, content) == rows
    assert values_of(tmp_path, f"{name}.gz", packed) == rows


@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.csv.gz"])
def test_a_table_may_be_several_gzip_files_in_one(name: str, tmp_path: Path) -> None:
    """What `cat a.gz b.gz` makes."""
    content = table_of(1000)[name.split(".")[1]]
    packed = gzip.compress(content[:5000]) + gzip.compress(content[5000:])
    assert len(values_of(tmp_path, name, packed)) == 1000


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.jsonl.gz", "in.csv.gz"])
def test_an_empty_table_has_no_rows(name: str, tmp_path: Path) -> None:
    assert items_of(tmp_path, name, b"") == []
    if name.endswith(".gz"):
        assert items_of(tmp_path, name, gzip.compress(b"")) == []


def test_a_compressed_file_of_requests_is_read_byte_for_byte(tmp_path: Path) -> None:
    uri = written(tmp_path, "in.jsonl.gz", gzip.compress(b'{"a":  1}\r\n\n\xff'))
    assert [item.value for item in Input(uri, ready=True)] == [b'{"a":  1}\r', b"", b"\xff"]


def test_a_table_is_read_no_further_than_asked(tmp_path: Path) -> None:
    """The first rows can be read though a later one is broken."""
    packed = gzip.compress(table_of(100_000)["jsonl"])
    (file,) = find_files(written(tmp_path, "in.jsonl.gz", packed[: len(packed) // 2]))
    rows = read_table(file)
    assert next(rows).value["id"] == "0"
    with pytest.raises(KimiInputError, match="is not a whole gzip file"):
        list(rows)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_gzip_file_that_was_cut_is_refused(kind: str, tmp_path: Path) -> None:
    """Its first rows look like all there is."""
    packed = gzip.compress(table_of(5000)[kind])
    for end in (len(packed) // 2, len(packed) - 1, len(packed) - 8, 12):
        message = problem_of(tmp_path, f"in.{kind}.gz", packed[:end])
        assert "is not a whole gzip file" in message
        assert message.endswith("Write the file again.")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_gzip_file_that_is_damaged_is_refused(kind: str, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(table_of(5000)[kind]))
    middle = len(packed) // 2
    packed[middle : middle + 50] = b"\xff" * 50
    assert "is not a whole gzip file" in problem_of(tmp_path, f"in.{kind}.gz", bytes(packed))


@pytest.mark.parametrize(("kind", "content"), [("jsonl", JSONL), ("csv", CSV)])
def test_a_file_that_is_not_gzip_is_refused(kind: str, content: bytes, tmp_path: Path) -> None:
    assert "is not a whole gzip file (Not a gzipped file" in problem_of(tmp_path, f"in.{kind}.gz", content)


@pytest.mark.parametrize(
    ("row", "cells", "kind"),
    [(b"r2", ["r2"], "fewer"), (b"r2,b,c", ["r2", "b", "c"], "more"), (b'r2,"b",', ["r2", "b", ""], "more")],
)
def test_a_csv_row_of_another_width_is_reported_with_its_line(
    row: bytes, cells: list[str], kind: str, tmp_path: Path
) -> None:
    """It costs no other row; the line counts those within cells."""
    content = b'id,text\nr1,"x\ny"\n' + row + b"\nr3,z\n"
    problem = f"has {kind} cells than the header has columns (it ends in line 4 of the file)"
    assert items_of(tmp_path, "in.csv", content) == [
        InputRow({"id": "r1", "text": "x\ny"}),
        InputRow(cells, problem),
        InputRow({"id": "r3", "text": "z"}),
    ]


@pytest.mark.parametrize("header", [b"a,a", b"a,b,a", b'b,"a",a'])
def test_a_csv_table_whose_header_names_a_column_twice_is_refused(header: bytes, tmp_path: Path) -> None:
    assert "names the column 'a' twice" in problem_of(tmp_path, "in.csv", header + b"\n1,2,3\n")


@pytest.mark.parametrize("begin", ["", "id,text\nr1,a\n"], ids=["from its header on", "from a row on"])
def test_a_csv_table_in_another_encoding_is_refused(begin: str, tmp_path: Path) -> None:
    content = (begin + "编号,评价\n1,很好\n").encode("gbk")
    message = problem_of(tmp_path, "in.csv", content)
    assert "is not UTF-8" in message
    assert message.endswith(
        "it looks like GB18030. Nothing was sent. Pass encoding='gb18030', or save the file as UTF-8."
    )
    assert "很" not in message


def test_a_compressed_csv_table_in_another_encoding_is_refused_too(tmp_path: Path) -> None:
    content = gzip.compress("编号,评价\n".encode("gbk"))
    assert "is not UTF-8 (" in problem_of(tmp_path, "in.csv.gz", content)


@pytest.mark.parametrize("content", [b'a\n"x', b'a\n"x"y\n'], ids=["open quote", "text behind a quote"])
def test_a_csv_table_whose_quotes_do_not_match_is_refused(content: bytes, tmp_path: Path) -> None:
    assert "is not valid CSV at line 2 (" in problem_of(tmp_path, "in.csv", content)


def test_a_csv_table_may_have_a_long_cell_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfa\r\n" + b"x" * 300_000 + b"\r\n"
    assert values_of(tmp_path, "in.csv", content) == [{"a": "x" * 300_000}]


def test_a_jsonl_table_in_another_encoding_has_only_bad_rows(tmp_path: Path) -> None:
    content = b'{"a": 1}\n' + '{"a": "评价"}\n'.encode("gbk") + b'{"a": 3}'
    first, faulty, last = items_of(tmp_path, "in.jsonl", content)
    assert (first, last) == (InputRow({"a": 1}), InputRow({"a": 3}))
    assert faulty.problem == "is not UTF-8 at byte 7; it looks like GB18030: pass encoding='gb18030'"


@pytest.mark.parametrize("line", [b"", b"[1]", b'{"a":', b'{"a": 1} {"b": 2}', b'{"a": NaN}', b'{"a": "\\ud800"}'])
def test_a_line_of_a_jsonl_table_that_is_not_a_row_is_kept_unchanged(line: bytes, tmp_path: Path) -> None:
    """So a skipped row can be reported."""
    first, faulty, last = items_of(tmp_path, "in.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    assert (first, last) == (InputRow({"a": 1}), InputRow({"a": 3}))
    assert faulty.value == line
    assert faulty.problem
