"""Rows that are read many at once are those that are read one by one, with the same problems at the same places."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.chunks import chunks_of_file
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.requests.tables import InputRow, ready_rows, rows_of_lines
from tests.support.samples import ROW_TEXT

PLAIN_LINE = st.dictionaries(st.sampled_from("ab"), ROW_TEXT | st.integers()).map(
    lambda row: json.dumps(row, ensure_ascii=False).encode()
)
ODD_LINE = st.sampled_from(
    [b"", b" ", b"{}{}", b"[{}]", b"{", b"}", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"\xef\xbb\xbf{}"]
)
LINES = st.builds(
    lambda before, odd, after: [*before, *odd, *after],
    st.lists(PLAIN_LINE, min_size=1, max_size=3),
    st.lists(ODD_LINE, max_size=1),
    st.lists(PLAIN_LINE, min_size=1, max_size=3),
)


def read(folder: Path, lines: list[bytes], *, ready: bool) -> tuple[list[InputRow], list[Any]]:
    """The rows of all chunks, and their values."""
    path = folder / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    (file,) = find_files(str(path))
    chunks = list(chunks_of_file(file, ready=ready))
    assert all(len(chunk) == len(list(chunk.rows())) for chunk in chunks)
    return [row for chunk in chunks for row in chunk.rows()], [value for chunk in chunks for value in chunk.values]


@given(lines=LINES)
def test_the_rows_of_a_table_are_those_of_its_lines(lines: list[bytes], tmp_path_factory: Any) -> None:
    rows, values = read(tmp_path_factory.mktemp("table"), lines, ready=False)
    assert rows == list(rows_of_lines(lines))
    assert values == [row.value for row in rows]


@given(lines=LINES)
def test_the_rows_of_requests_are_their_lines(lines: list[bytes], tmp_path_factory: Any) -> None:
    rows, values = read(tmp_path_factory.mktemp("ready"), lines, ready=True)
    assert values == lines
    assert rows == [row for line in lines for row in ready_rows(line + b"\n")]


@pytest.mark.parametrize("ready", [True, False])
def test_a_row_has_its_place_in_its_own_file(ready: bool, tmp_path: Path) -> None:
    """A chunk ends with its file."""
    for name, rows in (("1.jsonl", 700), ("2.jsonl", 3), ("3.jsonl", 5)):
        (tmp_path / name).write_bytes(b"{}\n" * rows)
    source = Input(str(tmp_path / "*.jsonl"), ready=ready)
    number, places = 1, dict[int, str]()
    for chunk in source.chunks():
        places |= {at: source.place(at) for at in range(number, number + len(chunk))}
        number += len(chunk)
    assert number == 709
    assert [places[at].partition(" of ")[0] for at in (1, 700, 701, 703, 704, 708)] == [
        *("line 1", "line 700", "line 1", "line 3", "line 1", "line 5")
    ]


@pytest.mark.parametrize("line", [b"{}", b'{"a":"b"}', b"{"])
def test_chunks_of_a_table_of_short_rows_are_small(line: bytes, tmp_path: Path) -> None:
    """The request of a short row may be long."""
    path = tmp_path / "in.jsonl"
    path.write_bytes((line + b"\n") * 5000)
    assert max(map(len, Input(str(path)).chunks())) <= 256
