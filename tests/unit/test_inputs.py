"""Everything that `input` may be, read as a stream."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.storage.inputs import Item, describe, is_ready_file, located, read_items


def written(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def items_of(folder: Path, name: str, content: bytes, *, ready: bool = False) -> list[Item]:
    return list(read_items(written(folder, name, content), ready=ready))


class TestAList:
    @pytest.mark.parametrize("source", [["a", {"b": 1}], ("a", {"b": 1})], ids=["list", "tuple"])
    def test_its_elements_are_numbered(self, source: object) -> None:
        assert list(read_items(source, ready=False)) == [Item("element 1", "a"), Item("element 2", {"b": 1})]

    def test_an_empty_one_has_none(self) -> None:
        assert list(read_items([], ready=False)) == []

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            pytest.param(None, "NoneType", id="none"),
            pytest.param({"a": 1}, "dict", id="dict"),
            pytest.param(b"a.jsonl", "bytes", id="bytes"),
            pytest.param(bytearray(b"a"), "bytearray", id="bytearray"),
            pytest.param({"a"}, "set", id="set"),
            pytest.param(5, "int", id="number"),
            pytest.param(iter(["a"]), "list_iterator", id="iterator"),
        ],
    )
    def test_another_kind_is_refused(self, source: object, kind: str) -> None:
        with pytest.raises(KimiInputError, match=rf"^input is a {kind}\. Nothing was sent\."):
            read_items(source, ready=False)


class TestAReadyFileIsPassedOnByteForByte:
    @pytest.mark.parametrize(
        ("content", "lines"),
        [
            pytest.param(b"", [], id="empty"),
            pytest.param(b'{"a":  1}\r\n', [b'{"a":  1}\r'], id="spaces and all"),
            pytest.param(b"\n\xff\n", [b"", b"\xff"], id="faults are found later"),
            pytest.param("x\u2028y\u0085z\n{{ a }}".encode(), ["x\u2028y\u0085z".encode(), b"{{ a }}"], id="T41, T30"),
        ],
    )
    def test_lines(self, content: bytes, lines: list[bytes], tmp_path: Path) -> None:
        items = items_of(tmp_path, "in.jsonl", content, ready=True)
        assert items == [Item(f"line {number}", line) for number, line in enumerate(lines, 1)]


class TestAJsonlTable:
    def test_its_rows(self, tmp_path: Path) -> None:
        """T30, T41: text that looks like a template or a line end is text."""
        content = '{"a": "x\u2028{{ b }}"}\n{"a": null, "b": [1]}\r\n'.encode()
        assert items_of(tmp_path, "in.jsonl", content) == [
            Item("line 1", {"a": "x\u2028{{ b }}"}),
            Item("line 2", {"a": None, "b": [1]}),
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
    def test_a_faulty_line_does_not_stop_the_others(self, line: bytes, problem: str, tmp_path: Path) -> None:
        """T42: each fault is told with its line, and what follows is still read."""
        content = b'{"a": 1}\n' + line + b'\n{"a": 3}\n'
        assert items_of(tmp_path, "in.jsonl", content) == [
            Item("line 1", {"a": 1}),
            Item("line 2", problem=problem),
            Item("line 3", {"a": 3}),
        ]

    def test_text_that_is_no_utf8_is_told_by_its_byte_in_the_line(self, tmp_path: Path) -> None:
        assert items_of(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": "x\xff"}\n{"a": 3}') == [
            Item("line 1", {"a": 1}),
            Item("line 2", problem="is not UTF-8 at byte 8; save the file as UTF-8"),
            Item("line 3", {"a": 3}),
        ]

    def test_a_byte_order_mark(self, tmp_path: Path) -> None:
        (item,) = items_of(tmp_path, "in.jsonl", b'\xef\xbb\xbf{"a": 1}\n')
        assert item == Item("line 1", problem="begins with a byte order mark; save the file as UTF-8 without BOM")


class TestACsvTable:
    @pytest.mark.parametrize(
        ("content", "rows"),
        [
            pytest.param("a,b\n1,x\n2,y\n", [(2, "1", "x"), (3, "2", "y")], id="plain"),
            pytest.param("a,b\r\n1,x\r\n", [(2, "1", "x")], id="Windows"),
            pytest.param("\ufeffa,b\n1,x\n", [(2, "1", "x")], id="byte order mark of a spreadsheet"),
            pytest.param("a,b\n1,x", [(2, "1", "x")], id="no newline at the end"),
            pytest.param('a,b\n"1,2","say ""x"""\n', [(2, "1,2", 'say "x"')], id="quotes"),
            pytest.param('a,b\n1,"x\ny"\n2,z\n', [(3, "1", "x\ny"), (4, "2", "z")], id="newline in a cell"),
            pytest.param("a,b\n\n1,x\n", [(3, "1", "x")], id="blank line"),
            pytest.param("a,b\n,\n", [(2, "", "")], id="empty cells"),
            pytest.param("a,b\n1,x\u2028{{ y }}\u0085\n", [(2, "1", "x\u2028{{ y }}\u0085")], id="T41, T30"),
            pytest.param("a,b\n", [], id="header only"),
            pytest.param("", [], id="empty"),
        ],
    )
    def test_its_rows(self, content: str, rows: list[tuple[int, str, str]], tmp_path: Path) -> None:
        assert items_of(tmp_path, "in.csv", content.encode()) == [
            Item(f"row {number} (line {line})", {"a": a, "b": b}) for number, (line, a, b) in enumerate(rows, 1)
        ]

    @given(cells=st.lists(st.text(), min_size=1))
    def test_a_cell_keeps_every_character(self, cells: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
        quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
        content = "\n".join(['"text"', *quoted, ""]).encode()
        items = items_of(tmp_path_factory.getbasetemp(), "cells.csv", content)
        assert [item.value for item in items] == [{"text": cell} for cell in cells]

    def test_a_cell_may_be_long(self, tmp_path: Path) -> None:
        (item,) = items_of(tmp_path, "in.csv", b"a\n" + b"x" * 300_000 + b"\n")
        assert item.value == {"a": "x" * 300_000}

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            pytest.param(b"1", "has fewer cells than the header has columns", id="short"),
            pytest.param(b"1,2,3", "has more cells than the header has columns", id="long"),
        ],
    )
    def test_a_row_of_another_width_does_not_stop_the_others(self, row: bytes, problem: str, tmp_path: Path) -> None:
        assert items_of(tmp_path, "in.csv", b"a,b\n" + row + b"\n5,6\n") == [
            Item("row 1 (line 2)", problem=problem),
            Item("row 2 (line 3)", {"a": "5", "b": "6"}),
        ]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            pytest.param(b'a\n"x', "is not valid CSV (unexpected end of data)", id="open quote"),
            pytest.param(b'a\n"x"y\n', "is not valid CSV (',' expected after '\"')", id="text behind a quote"),
            pytest.param(b"a\n\xff\n", "is not UTF-8 (invalid start byte); save the file as UTF-8", id="no UTF-8"),
        ],
    )
    def test_a_table_that_cannot_be_read_is_a_fault_of_the_table(
        self, content: bytes, problem: str, tmp_path: Path
    ) -> None:
        assert items_of(tmp_path, "in.csv", content) == [Item("the table", problem=problem)]

    @pytest.mark.parametrize("header", [b"a,a", b"a,b,a", b'b,"a",a', b"a,a,a"])
    def test_a_column_that_stands_twice_is_a_fault_of_the_header(self, header: bytes, tmp_path: Path) -> None:
        """No value silently takes another's place."""
        cells = b",".join([b"1"] * (header.count(b",") + 1))
        items = items_of(tmp_path, "in.csv", header + b"\n" + cells + b"\n")
        assert items == [Item("the header", problem="names the column 'a' twice")]

    def test_without_a_prompt_it_cannot_be_sent(self, tmp_path: Path) -> None:
        with pytest.raises(
            KimiInputError, match=r"is a table\. Nothing was sent\. Pass prompt='\.\.\. {column} \.\.\.'"
        ):
            read_items(written(tmp_path, "in.csv", b"a\n1\n"), ready=True)


class TestAUri:
    @pytest.mark.parametrize("name", ["in.parquet", "in.json", "in.jsonl.gz", "in", "in.JSONL"])
    def test_of_another_kind_of_file_is_refused(self, name: str) -> None:
        with pytest.raises(KimiInputError, match=r"ends in neither \.jsonl nor \.csv\. Nothing was sent\."):
            read_items(name, ready=False)

    @pytest.mark.parametrize("name", ["a b.jsonl", "a#b.jsonl", "a?b.jsonl", "a%41.jsonl", "a[1].jsonl", "名.jsonl"])
    def test_with_any_name(self, name: str, tmp_path: Path) -> None:
        uri = written(tmp_path, name, b'{"a": 1}')
        assert list(read_items(uri, ready=False)) == [Item("line 1", {"a": 1})]
        assert list(read_items(f"file://{uri}", ready=False)) == [Item("line 1", {"a": 1})]

    @pytest.mark.parametrize("name", ["absent.jsonl", "absent.csv"])
    def test_of_a_file_that_does_not_exist_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(KimiInputError, match=r"absent\.\w+' does not exist\. Nothing was sent\."):
            list(read_items(str(tmp_path / name), ready=False))

    def test_of_a_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").mkdir()
        with pytest.raises(KimiInputError, match=r"cannot be opened \(IsADirectoryError"):
            list(read_items(str(tmp_path / "in.jsonl"), ready=True))

    def test_on_an_unknown_storage_is_refused(self) -> None:
        with pytest.raises(KimiInputError, match=r"'nope://x\.jsonl' cannot be opened"):
            list(read_items("nope://x.jsonl", ready=True))

    def test_is_read_no_further_than_asked(self, tmp_path: Path) -> None:
        """T51: a large file is a stream."""
        items: Iterator[Item] = read_items(written(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": 2}\n'), ready=False)
        assert next(items) == Item("line 1", {"a": 1})
        assert next(items) == Item("line 2", {"a": 2})
        assert next(items, None) is None


@pytest.mark.parametrize(
    ("source", "prompt", "ready"),
    [
        pytest.param("s3://b/in.jsonl", None, True, id="jsonl"),
        pytest.param("s3://b/in.jsonl", "{a}", False, id="jsonl with a prompt"),
        pytest.param("s3://b/in.csv", None, False, id="csv"),
        pytest.param(["in.jsonl"], None, False, id="list"),
    ],
)
def test_a_jsonl_without_a_prompt_holds_requests(source: object, prompt: str | None, ready: bool) -> None:
    assert is_ready_file(source, prompt) is ready


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        pytest.param("/data/in.csv", "file:///data/in.csv", id="bare path"),
        pytest.param("s3://bucket/in.csv", "s3://bucket/in.csv", id="URI"),
        pytest.param("file:///data/in.csv", "file:///data/in.csv", id="file URI"),
        pytest.param("in.csv", f"file://{Path.cwd()}/in.csv", id="relative path"),
    ],
)
def test_a_bare_path_is_a_file(uri: str, location: str) -> None:
    assert located(uri) == location


@pytest.mark.parametrize(
    ("source", "name"),
    [
        pytest.param("s3://b/in.csv", "Input 's3://b/in.csv'", id="URI"),
        pytest.param(["TOP SECRET"], "The list given as input", id="list"),
    ],
)
def test_an_input_is_named_without_its_content(source: Any, name: str) -> None:
    assert describe(source) == name


@given(rows=st.lists(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none()))))
def test_a_jsonl_table_keeps_every_value(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    items = items_of(tmp_path_factory.getbasetemp(), "rows.jsonl", content)
    assert items == [Item(f"line {number}", row) for number, row in enumerate(rows, 1)]
