"""The forms that a file of an input may have; one of another form is said to be what it looks like."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow  # noqa: TID253  # it compresses
import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.tables import InputRow

ROWS = [{"id": "r1", "text": '很好; "sic"\n{x}'}, {"id": "r2", "text": ""}, {"id": "r3", "text": "bad\u2028"}]


def csv_text(delimiter: str = ",") -> str:
    cells = [["id", "text"], *(list(row.values()) for row in ROWS)]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in cells]
    return "\r\n".join(map(delimiter.join, quoted)) + "\r\n"


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TEXTS = {
    "jsonl": LINES,
    "ndjson": LINES,
    "json": json.dumps(ROWS, ensure_ascii=False, indent=1),
    "csv": csv_text(),
    "tsv": csv_text("\t"),
}


def zstd(content: bytes) -> bytes:
    packed: bytes = pyarrow.compress(content, codec="zstd", asbytes=True)
    return packed


PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstd}


def items_of(folder: Path, name: str, content: bytes, reading: Reading = PLAIN) -> list[InputRow]:
    (folder / name).write_bytes(content)
    return list(Input(str(folder / name), reading=reading))


def values_of(folder: Path, name: str, content: bytes, reading: Reading = PLAIN) -> list[Any]:
    items = items_of(folder, name, content, reading)
    assert not [item.problem for item in items if item.problem]
    return [item.value for item in items]


def problem_of(folder: Path, name: str, content: bytes, reading: Reading = PLAIN) -> str:
    with pytest.raises(KimiInputError) as caught:
        items_of(folder, name, content, reading)
    message = str(caught.value)
    assert message.startswith(f"Input {str(folder / name)[:200]!r} ")
    assert " Nothing was sent. " in message
    assert "很" not in message
    return message


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", TEXTS)
def test_every_kind_of_text_file_has_the_same_rows_packed_or_not_and_in_capitals(
    kind: str, packing: str, tmp_path: Path
) -> None:
    content = PACKED[packing](TEXTS[kind].encode())
    assert values_of(tmp_path, f"in.{kind}{packing}", content) == ROWS
    assert values_of(tmp_path, f"IN.{kind.upper()}{packing.upper()}", content) == ROWS


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.csv", "in.tsv.gz", "in.ndjson.zst"])
def test_every_kind_of_text_file_may_have_another_encoding(encoding: str, name: str, tmp_path: Path) -> None:
    kind, _, packing = name.removeprefix("in.").partition(".")
    content = PACKED[f".{packing}" if packing else ""](TEXTS[kind].encode(encoding))
    assert values_of(tmp_path, name, content, Reading(None, encoding)) == ROWS


@pytest.mark.parametrize("size", [1, 100_000, 300_000])
def test_text_of_another_encoding_may_be_long(size: int, tmp_path: Path) -> None:
    rows = [{"text": "很a" * size}, {"text": "𠮷" * size}]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("gb18030")
    assert values_of(tmp_path, "in.jsonl", content, Reading(None, "gb18030")) == rows


def test_requests_of_another_encoding_are_read_as_utf8(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes('{"a": "很"}\n'.encode("gbk"))
    given = Input(str(tmp_path / "in.jsonl"), ready=True, reading=Reading(None, "gbk"))
    assert [item.value for item in given] == ['{"a": "很"}'.encode()]


def test_a_byte_order_mark_is_no_text_where_the_encoding_is_named(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16-be"):
        content = '\ufeff{"a": 1}\n'.encode("utf-8" if encoding == "utf-8-sig" else encoding)
        assert values_of(tmp_path, "in.jsonl", content, Reading(None, encoding)) == [{"a": 1}]


def test_the_encoding_says_nothing_about_parquet_files(tmp_path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "in.parquet")
    assert [
        item.value for item in Input(str(tmp_path / "in.parquet"), reading=Reading(";", "gbk"), must_apply=False)
    ] == ROWS


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "^", " "])
@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_a_delimiter_that_is_named_separates_the_cells(delimiter: str, name: str, tmp_path: Path) -> None:
    assert values_of(tmp_path, name, csv_text(delimiter).encode(), Reading(delimiter)) == ROWS


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_a_first_line_that_tells_excel_the_separator_is_no_header(delimiter: str, tmp_path: Path) -> None:
    content = f"\ufeffsep={delimiter}\r\n{csv_text(delimiter)}".encode()
    assert values_of(tmp_path, "in.csv", content, Reading(delimiter)) == ROWS
    if delimiter != ",":
        assert f"Pass csv_options={{'delimiter': {delimiter!r}}}" in problem_of(tmp_path, "in.csv", content)
        assert f"Pass csv_options={{'delimiter': {delimiter!r}}}" in problem_of(
            tmp_path, "in.csv", content, Reading("^")
        )


@pytest.mark.parametrize(
    ("name", "delimiter", "used"),
    [("in.csv", ";", ","), ("in.csv", "\t", ","), ("in.csv", "|", ","), ("in.tsv", ",", "\t"), ("in.tsv", ";", "\t")],
)
def test_a_header_that_is_not_cut_is_refused_with_the_delimiter_that_it_looks_like(
    name: str, delimiter: str, used: str, tmp_path: Path
) -> None:
    message = problem_of(tmp_path, name, csv_text(delimiter).encode())
    assert f"has no {used!r} in its header, which looks as if {delimiter!r} separates" in message
    assert f"Pass csv_options={{'delimiter': {delimiter!r}}}; if there is a single column, {used!r}." in message


def test_a_single_column_may_have_any_name_if_the_delimiter_is_given(tmp_path: Path) -> None:
    assert values_of(tmp_path, "in.csv", b"a;b\n1;2\n", Reading(",")) == [{"a;b": "1;2"}]
    assert values_of(tmp_path, "in.csv", b"text\n1;2\n") == [{"text": "1;2"}]


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_of_wide_characters_is_named_as_such(kind: str, encoding: str, tmp_path: Path) -> None:
    message = problem_of(tmp_path, f"in.{kind}", TEXTS[kind].encode(encoding))
    assert f"looks like {encoding.upper()}" in message
    assert f"Pass encoding={encoding!r}, or save the file as UTF-8." in message


@pytest.mark.parametrize("before", [0, 3_000])
def test_a_csv_file_of_gb18030_is_named_as_such(before: int, tmp_path: Path) -> None:
    content = ("id,text\n" + "1,a\n" * before + "2,很好\n").encode("gb18030")
    message = problem_of(tmp_path, "in.csv", content)
    assert "; it looks like GB18030. Nothing was sent. Pass encoding='gb18030'" in message


def test_a_csv_file_of_an_unknown_encoding_asks_for_its_name(tmp_path: Path) -> None:
    message = problem_of(tmp_path, "in.csv", "text\ncafé\n".encode("cp1252"))
    assert "is not UTF-8 (" in message
    assert message.endswith("Pass the encoding that it has, such as encoding='cp1252', or save it as UTF-8.")
    assert values_of(tmp_path, "in.csv", "text\ncafé\n".encode("cp1252"), Reading(None, "cp1252")) == [{"text": "café"}]


def test_a_line_of_gb18030_is_named_as_such(tmp_path: Path) -> None:
    good, bad = items_of(tmp_path, "in.jsonl", b'{"a": 1}\n' + '{"a": "很好"}\n'.encode("gbk"))
    assert good.problem is None
    assert bad.problem == ("is not UTF-8 at byte 7; it looks like GB18030: pass encoding='gb18030'")


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.json"])
def test_a_file_that_is_not_of_the_encoding_that_was_named_is_refused(name: str, tmp_path: Path) -> None:
    content = b"\xff\xff" + TEXTS[name.removeprefix("in.")].encode()
    assert "is not gb18030 (" in problem_of(tmp_path, name, content, Reading(None, "gb18030"))
    assert "is not utf-16 (" in problem_of(tmp_path, name, b"\xff\xfea\0\0\xd8", Reading(None, "utf-16"))


@pytest.mark.parametrize("encoding", ["gb2312", "gbk"])
def test_a_character_that_an_older_chinese_encoding_has_not_is_said_to_be_of_gb18030(
    encoding: str, tmp_path: Path
) -> None:
    message = problem_of(tmp_path, "in.csv", "text\n𠮷\n".encode("gb18030"), Reading(None, encoding))
    assert f"is not {encoding} (" in message
    assert "Correct encoding, such as to 'gb18030', which holds all of it, or save the file as UTF-8." in message


def test_a_large_json_file_is_not_held(tmp_path: Path) -> None:
    row = json.dumps({"text": "x" * 1000}).encode()
    (tmp_path / "in.json").write_bytes(b"[" + b",\n".join([row] * 10_000) + b"]")
    tracemalloc.start()
    try:
        assert sum(1 for _ in Input(str(tmp_path / "in.json"))) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'[{"a": 1}', "ends too early, after 1 objects"),
        (b'{"a": 1', "ends too early, after 0 objects"),
        (b'[{"a": 1}, 2]', "holds something else than objects"),
        (b"id,text\n", "holds something else than objects"),
    ],
)
def test_a_json_file_that_is_not_of_objects_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    message = problem_of(tmp_path, "in.json", content)
    assert problem in message
    assert message.endswith("Write an array of objects, or one object after another.")


def test_an_object_of_a_json_file_that_is_not_valid_is_a_problem_of_its_row(tmp_path: Path) -> None:
    first, second, third = items_of(tmp_path, "in.json", b'[{"a": 1}, {"a" 2}, {"a": 3}]')
    assert (first.value, third.value) == ({"a": 1}, {"a": 3})
    assert "is not valid JSON" in str(second.problem)


@pytest.mark.parametrize("name", ["in.jsonl.zst", "in.csv.zst", "in.json.zst"])
@pytest.mark.parametrize("content", [b"no zstd", zstd(LINES.encode())[:-4]], ids=["other", "cut off"])
def test_a_file_that_is_not_whole_zstd_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    message = problem_of(tmp_path, name, content)
    assert "is not a whole zstd file (" in message
    assert message.endswith("Write the file again.")


def test_two_zstd_frames_are_one_file(tmp_path: Path) -> None:
    assert values_of(tmp_path, "in.jsonl.zst", zstd(b'{"a": 1}\n') + zstd(b'{"a": 2}\n')) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("header", [",", ",a,", "a,,b,"])
def test_two_columns_without_a_name_are_refused(header: str, tmp_path: Path) -> None:
    cells = ",".join("1" * (header.count(",") + 1))
    message = problem_of(tmp_path, "in.csv", f"{header}\n{cells}\n".encode())
    assert "has more than one column without a name. Nothing was sent. Name them, or delete those" in message


def test_two_parquet_columns_without_a_name_are_refused(tmp_path: Path) -> None:
    from pyarrow import parquet

    table = pyarrow.table([pyarrow.array([1]), pyarrow.array([2])], names=["", ""])
    parquet.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(KimiInputError, match="has more than one column without a name"):
        list(Input(str(tmp_path / "in.parquet")))


def test_one_column_without_a_name_is_that_of_an_index_and_keeps_its_empty_name(tmp_path: Path) -> None:
    assert values_of(tmp_path, "in.csv", b",text\n0,a\n") == [{"": "0", "text": "a"}]
