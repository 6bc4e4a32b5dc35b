"""An input that is a URI: one file, several, or none."""

from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import located
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.tables import InputRow


def written(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


ROWS = [InputRow({"a": 1}), InputRow({"a": 2})]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b'{"a":  1}\r\n', [b'{"a":  1}\r'], id="spaces and all"),
        pytest.param(b"\n\xff\n", [b"", b"\xff"], id="problems are found later"),
        pytest.param(b"\xef\xbb\xbf{}", [b"\xef\xbb\xbf{}"], id="byte order mark, too"),
        pytest.param(
            "x\u2028y\u0085z\n{{ a }}".encode(),
            ["x\u2028y\u0085z".encode(), b"{{ a }}"],
            id="text that looks like a line end or a template",
        ),
    ],
)
def test_a_ready_file_is_read_line_by_line_byte_for_byte(content: bytes, lines: list[bytes], tmp_path: Path) -> None:
    given = Input(written(tmp_path, "in.jsonl", content), ready=True)
    assert [item.value for item in given] == lines
    assert [given.place(number + 1) for number in range(len(lines))] == [f"line {n + 1}" for n in range(len(lines))]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param(b'{"custom_id": "\xff"}', "is not UTF-8 at byte 15; save the file as UTF-8", id="no UTF-8"),
        pytest.param("{'客户'}".encode("gbk"), "is not UTF-8 at byte 2; it looks like GB18030: pass", id="GBK"),
        pytest.param(b'{"a": "\\ud800"}', "is not valid JSON (", id="lone surrogate"),
    ],
)
def test_text_that_is_not_unicode_is_a_problem_of_its_line(line: bytes, problem: str, tmp_path: Path) -> None:
    good = '{"a": "名"}'.encode()
    first, second, third = Input(written(tmp_path, "in.jsonl", b"\n".join([good, line, good])), ready=True)
    assert (first, second.value, third) == (InputRow(good), line, InputRow(good))
    assert str(second.problem).startswith(problem)


def test_a_table_cannot_be_sent_without_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(KimiInputError, match=r"is a table\. Nothing was sent\. Pass prompt='\.\.\. {column} \.\.\.'"):
        list(Input(written(tmp_path, "in.csv", b"a\n1\n"), ready=True))


@pytest.mark.parametrize("name", ["in.xml", "in.parquet.zst", "in", "in.JSONL.ZIP", "in.xlsx"])
def test_a_uri_of_another_kind_of_file_is_refused(name: str) -> None:
    with pytest.raises(KimiInputError, match=r"ends in none of \.jsonl, .*\. Nothing was sent\."):
        list(Input(name))


@pytest.mark.parametrize("name", ["a b.jsonl", "a#b.jsonl", "a?b.jsonl", "a%41.jsonl", "a[1].jsonl", "名.jsonl"])
def test_a_uri_may_have_any_name(name: str, tmp_path: Path) -> None:
    uri = written(tmp_path, name, b'{"a": 1}')
    assert list(Input(uri)) == [InputRow({"a": 1})]
    assert list(Input(f"file://{uri}")) == [InputRow({"a": 1})]


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.csv"])
def test_a_uri_of_a_file_that_does_not_exist_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(KimiInputError, match=r"absent\.\w+' does not exist\. Nothing was sent\."):
        list(Input(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["in.jsonl", "in"])
def test_a_uri_of_an_empty_directory_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(KimiInputError, match=r"has no files in it\. Nothing was sent\."):
        list(Input(str(tmp_path / name), ready=True))


def test_a_uri_on_an_unknown_storage_is_refused() -> None:
    with pytest.raises(KimiInputError, match=r"'nope://x\.jsonl' cannot be opened"):
        list(Input("nope://x.jsonl", ready=True))


def test_a_file_is_read_no_further_than_asked(tmp_path: Path) -> None:
    """A large file is a stream."""
    items = iter(Input(written(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": 2}\n')))
    assert next(items) == InputRow({"a": 1})
    assert next(items) == InputRow({"a": 2})
    assert next(items, None) is None


def test_a_uri_may_be_read_again(tmp_path: Path) -> None:
    given = Input(written(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": 2}\n'))
    assert list(given) == list(given) == ROWS
    assert given.place(2) == "line 2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, "c.jsonl", b'{"a": 4}\n')
    written(tmp_path, "a.jsonl", b'{"a": 1}\n{"a": 2}\n')
    written(tmp_path, "aa.jsonl", b"")
    written(tmp_path, "b.csv", b"a\n\n3\n")
    return tmp_path


def test_several_files_are_read_in_the_order_of_their_names(folder: Path) -> None:
    values = [item.value for item in Input(str(folder))]
    assert values == [{"a": 1}, {"a": 2}, {"a": "3"}, {"a": 4}]


def test_each_of_several_files_numbers_its_own_rows(folder: Path) -> None:
    given = Input(str(folder))
    list(given)
    places = [("line 1", "a.jsonl"), ("line 2", "a.jsonl"), ("row 1", "b.csv"), ("line 1", "c.jsonl")]
    for _ in list(given), None:
        found = [given.place(number).split(" of ") for number in range(1, 5)]
        assert [(place, Path(uri).name) for place, uri in found] == places


def test_only_rows_that_were_read_are_named_by_their_file(folder: Path) -> None:
    given = Input(str(folder))
    items = iter(given)
    next(items)
    assert given.place(1) == "line 1"


def test_several_files_are_refused_as_ready_requests_if_one_is_a_table(folder: Path) -> None:
    with pytest.raises(KimiInputError, match=r"b\.csv' is a table\. Nothing was sent\."):
        list(Input(str(folder), ready=True))


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
