"""What a line is called, and whether it is all there."""

import pytest

from airflow_provider_kimi.files.line_ids import id_of, is_whole
from tests.support.samples import output_line

#: Complete lines that strict readers refuse.
ODD = [
    b'{"custom_id":"a","x":"\xff"}',
    b'{"custom_id":"\xff"}\r\n',
    b'{"x":"\xed\xa0\xbd"}',
    b'{"x":"hi \\ud83d"}',
    b'{"x":1e999}',
    b'{"x":-1e999}',
    b'{"x":NaN}',
]


@pytest.mark.parametrize("line", [b'{"custom_id":"a"}', b' {"x": 1, "custom_id": "a"}\r\n', output_line("a")])
def test_the_custom_id_of_a_line_is_read(line: bytes) -> None:
    assert id_of(line) == "a"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        pytest.param(b'{"custom_id":"\xff"}', "\ufffd", id="nothing else"),
        pytest.param(b'{"custom_id":"row \xff 1","x":1}', "row \ufffd 1", id="in the middle"),
        pytest.param(b'{"x":NaN,"custom_id":"\xffa"}', "\ufffda", id="beside no number"),
    ],
)
def test_stray_bytes_in_a_custom_id_are_replaced(line: bytes, name: str) -> None:
    assert id_of(line) == name


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"null", b"[]", b'"a"', b"{}", b'{"custom_id":""}', b'{"custom_id":null}', b'{"custom_id":7}']
    + [
        b'{"custom_id":"a"',
        b'{"custom_id":"\xff"',
        b'{"custom_id":["\xff"]}',
        b'["\xff"]',
        b'{"custom_id":"a"}{}',
        b"<html>",
    ],
)
def test_a_line_without_a_readable_custom_id_has_none(line: bytes) -> None:
    """Broken JSON is a problem of one line."""
    assert id_of(line) is None


@pytest.mark.parametrize("line", [output_line(), b"{}", b"[1]", output_line() + b"\n", *ODD])
def test_a_complete_line_is_whole_and_none_of_its_beginnings_is(line: bytes) -> None:
    """A file that was cut ends in such a beginning."""
    assert is_whole(line)
    assert not any(is_whole(line[:end]) for end in range(len(line.rstrip()) - 1))
