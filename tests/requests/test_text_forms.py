"""The forms that text files come in: which may be named, and which a file is said to look like."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.requests.text_forms import (
    likely_delimiter,
    likely_encoding,
    line_around,
    named_delimiter,
    read_reading,
    wide_encoding,
)


@pytest.mark.parametrize(
    ("csv_options", "encoding", "reading"),
    [
        (None, "utf-8", PLAIN),
        ({}, "UTF8", PLAIN),
        ({"bom": True, "quoting": "all"}, "utf_8", PLAIN),
        ({"delimiter": ";"}, "GBK", Reading(";", "gbk")),
        ({"delimiter": ","}, "utf-8", Reading(",")),
        (None, "UTF-16", Reading(None, "utf-16")),
        (None, "utf-8-sig", Reading(None, "utf-8-sig")),
    ],
)
def test_what_a_task_says_of_its_input_is_one_value_that_can_be_stored(
    csv_options: Any, encoding: str, reading: Reading
) -> None:
    assert read_reading(csv_options, encoding) == reading
    assert msgspec.json.decode(msgspec.json.encode(reading), type=Reading) == reading


@pytest.mark.parametrize("encoding", ["utf-99", "", "base64", "rot13", "utf-8\0", None, 8, "很"])
def test_an_encoding_that_python_does_not_know_is_refused_with_examples(encoding: Any) -> None:
    with pytest.raises(ValueError, match="must be the name of an encoding that Python knows, such as 'gb18030'"):
        read_reading(None, encoding)


@pytest.mark.parametrize("options", [{"delimeter": ";"}, {"delimiter": ";;"}, ";", {"delimiter": ""}])
def test_csv_options_that_do_not_exist_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match="csv_options"):
        read_reading(options, "utf-8")


@pytest.mark.parametrize(
    ("line", "encoding"),
    [
        ("id,评价很好".encode("gb18030"), "gb18030"),
        ("1,价格 12 元".encode("gbk"), "gb18030"),
        ("𠮷".encode("gb18030"), "gb18030"),
        ("很好".encode("gbk")[:-1], "gb18030"),
        ("Müller, Ärger, größer".encode("cp1252"), None),
        ("café".encode("cp1252"), None),
        (b"\xff", None),
    ],
)
def test_a_line_is_said_to_look_like_the_encoding_that_it_has(line: bytes, encoding: str | None) -> None:
    assert likely_encoding(line) == encoding


@pytest.mark.parametrize(
    ("begin", "encoding"),
    [
        ("id,text".encode("utf-16"), "utf-16"),
        ("id,评".encode("utf-16-be"), "utf-16-be"),
        ("id,评".encode("utf-16-le"), "utf-16-le"),
        ("id".encode("utf-32"), "utf-32"),
        (b"id", None),
        (b"", None),
        (b"a", None),
    ],
)
def test_a_text_of_wide_characters_is_known_by_its_begin(begin: bytes, encoding: str | None) -> None:
    assert wide_encoding(begin) == encoding


@given(text=st.text(st.sampled_from("很好太差的一是在不了有和人这中大为上个国我以要他时来用们"), min_size=1))
def test_chinese_text_looks_like_gb18030(text: str) -> None:
    assert likely_encoding(text.encode("gb18030")) == "gb18030"


@pytest.mark.parametrize(("place", "line"), [(0, b"ab"), (2, b"ab"), (3, b"cd"), (5, b"cd"), (6, b"e")])
def test_a_line_is_found_by_a_place_in_it(place: int, line: bytes) -> None:
    assert line_around(b"ab\ncd\ne", place) == line


@pytest.mark.parametrize(
    ("header", "delimiter", "likely"),
    [
        ("id;text", ",", ";"),
        ('"id";"text"', ",", ";"),
        ("id\ttext", ",", "\t"),
        ("id|text", ",", "|"),
        ("a;b;c|d", ",", ";"),
        ("id,text", "\t", ","),
        ("text", ",", None),
        ("a;b,c", ",", None),
        ("", ",", None),
    ],
)
def test_a_header_of_a_single_column_tells_its_delimiter(header: str, delimiter: str, likely: str | None) -> None:
    assert likely_delimiter(header, delimiter) == likely


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [("sep=;", ";"), ("sep=\t", "\t"), ("sep=,", ","), ("sep=", None), ("sep=;x", None), ("id", None)],
)
def test_a_first_line_may_name_the_delimiter(line: str, delimiter: str | None) -> None:
    assert named_delimiter(line) == delimiter
