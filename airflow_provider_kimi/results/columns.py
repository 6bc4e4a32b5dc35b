"""The columns of the input table, joined to the results by the name that each row had when it was sent."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.dead_letters import is_unsent, table_row_of
from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.requests.keys import KeyColumns, custom_id_of
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import is_ready_request


class ColumnSource:
    """Walks a table beside the requests that were made from it: both have the same order.

    :param values: The input's elements; those that are not table rows have no columns.
    :param key_column: The column or columns that named the rows; None where their places did.
    """

    def __init__(self, values: Iterable[object], key_column: KeyColumns | None) -> None:
        self._rows = enumerate(values, 1)
        self._key_column = key_column

    def _columns_by_name(self, number: int, value: object) -> dict[str, Mapping[str, Any]]:
        """The columns of one element, under each name that its request may have."""
        named: dict[str, Mapping[str, Any]] = {}
        if is_ready_request(value):
            named[str(value["custom_id"])] = table_row_of(value)
        with suppress(RowProblem):
            named[custom_id_of(value, number, self._key_column)] = value if isinstance(value, Mapping) else {}
        return named

    def row_of(self, custom_id: str, request: bytes = b"", verbatim: Sequence[str] = ()) -> Mapping[str, Any]:
        """The row that a request was made from; one without columns for an element that is no row.

        :param request: The line that was sent for it.
        :param verbatim: Columns whose text stands in that line as it is.
        :raises KimiInputError: The table has no such row behind the last one asked for, or its text is another now.
        """
        for number, value in self._rows:
            named = self._columns_by_name(number, value)
            if custom_id in named:
                row = named[custom_id]
                if changed := next((column for column in verbatim if not _holds(request, row.get(column))), None):
                    raise KimiInputError(
                        f"The row {custom_id[:80]!r} of the given input has another text in column {changed!r} than "
                        "the one that was sent, so its answer belongs to the earlier text. The batch is not touched by "
                        "this, and nothing was landed. Give the input as it was when the batch was created, or leave "
                        "input away: then the results have no columns of the table."
                    )
                return row
        raise KimiInputError(
            f"The batch has a request {custom_id[:80]!r} that the given input has not, or not at its place: "
            "the input is not the one that was submitted, has changed since, or key_column differs. The batch "
            "is not touched by this, and nothing was landed. Give the input and key_column that the batch was "
            "created with, or leave input away: then the results have no columns of the table."
        )

    def row_at(self, number: int) -> Any:
        """A row that has no request, by its place from 1, as far as JSON can hold it; None if it is not there."""
        row = next((without_binary(value) for at, value in self._rows if at == number), None)
        return table_row_of(row) if isinstance(row, Mapping) and is_unsent(row) else row


def _holds(request: bytes, value: object) -> bool:
    """Whether a request holds a text; another kind of value, which the request may write in its own way, passes."""
    if not isinstance(value, str):
        return True
    with suppress(UnicodeEncodeError):
        return msgspec.json.encode(value)[1:-1] in request or value in _texts(msgspec.json.decode(request))
    return True


def _texts(request: Any) -> str:
    """All texts of a request, however its line may have been written."""
    if isinstance(request, dict):
        request = list(request.values())
    return "\0".join(map(_texts, request)) if isinstance(request, list) else str(request)


def without_binary(value: object) -> Any:
    """An element of the input as far as JSON can hold it."""
    if isinstance(value, bytes):  # a line that could not be read
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        value = {key: part for key, part in value.items() if not _is_binary(part)}
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))
    except (TypeError, ValueError, RecursionError):
        return None


def renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns under names that results do not use themselves."""
    columns: dict[str, Any] = {}
    for key, value in row.items():
        if _is_binary(value):
            continue
        name = key
        while name in RESULT_FIELDS or name in columns or (name != key and name in row):
            name = f"input_{name}"
        columns[name] = value
    return columns


def _is_binary(value: object) -> bool:
    """An image, or several, most likely; they are not repeated with every answer."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else (value,)
    return any(isinstance(part, bytes) for part in parts)
