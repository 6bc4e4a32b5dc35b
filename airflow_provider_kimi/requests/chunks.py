"""Rows of the input that are looked at together: as many as take little memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.files.lines import lines_of
from airflow_provider_kimi.requests.sources import SourceFile
from airflow_provider_kimi.requests.tables import InputRow, blocks_of, read_table, ready_rows, rows_of_lines
from airflow_provider_kimi.requests.values import plain

#: Rows that are looked at together, and about how many bytes of them.
_CHUNK_ROWS = 256
_CHUNK_BYTES = 1 << 19

_read_object = msgspec.json.Decoder(dict).decode


@dataclass(frozen=True)
class Chunk:
    """Some rows of the input.

    :param values: The value of each of them.
    :param rows: Reads them again, with the problem that each may have.
    :param may_be_whole: Whether no problem is known yet.
    """

    values: Sequence[Any]
    rows: Callable[[], Iterable[InputRow]]
    may_be_whole: bool = True

    def __len__(self) -> int:
        return len(self.values)


def chunks_of(rows: Iterator[InputRow]) -> Iterator[Chunk]:
    """Take rows some at a time: as many as take little memory, as far as the last one shows."""
    most = 1
    while some := tuple(islice(rows, most)):
        yield Chunk([row.value for row in some], partial(iter, some), not any(row.problem for row in some))
        size = size_of(some[-1].value)
        most = 1 if size is None else min(max(_CHUNK_BYTES // (size + 1), 1), _CHUNK_ROWS)


def chunks_of_file(file: SourceFile, *, ready: bool) -> Iterator[Chunk]:
    """Read the rows of a file.

    :param ready: Whether they are request lines, whose problems are found when they are read again.
    """
    if ready:
        for block in blocks_of(file):
            yield Chunk(lines_of(block), partial(ready_rows, block))
    elif file.kind == "jsonl" and not file.partitions:
        for block in blocks_of(file):
            yield from _chunks_of_lines(lines_of(block))
    else:
        yield from chunks_of(read_table(file))


def _chunks_of_lines(lines: Sequence[bytes]) -> Iterator[Chunk]:
    """Read the rows of a JSONL table, together if no line has a problem."""
    try:
        values = list(map(_read_object, lines))
    except UNREADABLE:
        yield from chunks_of(rows_of_lines(lines))
        return
    for first in range(0, len(values), _CHUNK_ROWS):
        some = values[first : first + _CHUNK_ROWS]
        yield Chunk(some, partial(map, InputRow, some))


def size_of(row: object) -> int | None:
    """About how many bytes a row takes; None if that is not known."""
    if isinstance(row, bytes | str):
        return len(row)
    with suppress(TypeError, *UNREADABLE):
        return len(msgspec.json.encode(row, enc_hook=plain))
    return None
