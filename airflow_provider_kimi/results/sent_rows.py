"""The rows of a batch in the order of its input: those that were sent, and those that were left out or saved."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from typing import NamedTuple

from airflow_provider_kimi.files.line_ids import id_of, name_of_unreadable
from airflow_provider_kimi.files.lines import lines_at
from airflow_provider_kimi.records.saved import SavedRow
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.results.batch_files import BatchFiles


class SentRow(NamedTuple):
    """A request of a batch: its id and its line, which is None if it cannot be read, perhaps not even the id."""

    custom_id: str
    line: bytes | None
    is_named: bool = True


def sent_rows(files: BatchFiles) -> Iterator[SentRow | SkippedRow | SavedRow]:
    """The rows of a batch; if its requests are not known, those alone whose answers were there."""
    if files.requests is None:
        yield from files.saved_rows
        return
    unsent: Iterator[SkippedRow | SavedRow] = merge(files.skipped_rows, files.saved_rows, key=attrgetter("number"))
    waiting = next(unsent, None)
    position = 0
    for offset, line in lines_at(files.requests):
        while waiting is not None and waiting.position <= position:
            yield waiting
            waiting = next(unsent, None)
        if (row := _sent_row(line, offset)) is not None:
            yield row
            position += 1
    if waiting is not None:
        yield waiting
        yield from unsent


def _sent_row(line: bytes, offset: int) -> SentRow | None:
    request = line if offset else line.removeprefix(BOM_UTF8)
    if (custom_id := id_of(request)) is not None:
        return SentRow(custom_id, request)
    if not line.strip():
        return None
    name = name_of_unreadable(request)
    return SentRow(name or f"request-at-byte-{offset}", None, is_named=name is not None)
