"""The columns of the input, joined to the results by the id that each row was sent with."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.records.dead_letters import is_unsent, table_row_of
from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.requests.keys import KeyColumns, custom_id_of
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import is_ready_request


class ColumnSource:
    """Walks the input beside the requests that were made from it; both have the same order.

    :param values: The elements of the input; those that are not rows of a table have no columns.
    :param key_column: The column or columns that name the rows; None if their places do.
    """

    def __init__(self, values: Iterable[object], key_column: KeyColumns | None) -> None:
        self._rows = enumerate(values, 1)
        self._key_column = key_column

    def _columns_by_name(self, number: int, value: object) -> dict[str, Mapping[str, Any]]:
        """The columns of one element, by each id that its request may have."""
        named: dict[str, Mapping[str, Any]] = {}
        if is_ready_request(value):
            named[str(value["custom_id"])] = table_row_of(value)
        with suppress(RowProblem):
            named[custom_id_of(value, number, self._key_column)] = value if isinstance(value, Mapping) else {}
        return named

    def row_of(self, custom_id: str, request: bytes = b"", verbatim: Sequence[str] = ()) -> Mapping[str, Any]:
        """The row that a request was made from; one without columns for an element that is not a row of a table.

        :param verbatim: Columns whose texts are in that line verbatim.
        :raises KimiInputError: The input has no such row after the last one that was found, or its text has changed.
        """
        for number, value in self._rows:
            named = self._columns_by_name(number, value)
            if custom_id in named:
                row = named[custom_id]
                if changed := next((column for column in verbatim if not _holds(request, row.get(column))), None):
                    raise KimiInputError(
                        f"Row {custom_id[:80]!r} of the input has changed: column {changed!r} no longer holds the text "
                        "that was sent and answered. Nothing was landed, and the batch keeps its results. Pass the "
                        "input as it was when the batch was created, or omit input for results without its columns."
                    )
                return row
        without = "" if self._key_column else " This task has no key_column: pass the one of create, if it had one."
        raise KimiInputError(
            f"The input is not the one of the batch, has changed since, or key_column differs.{without} Nothing was "
            "landed, and the batch keeps its results. Pass the input and key_column that the batch was created with, "
            "or omit input for results without its columns. No row in its place has the name "
            f"{custom_id[:80]!r}."
        )

    def row_at(self, number: int) -> Any:
        """A row that has no request, by its place from 1, as far as JSON can hold it; None if there is none."""
        row = next((without_binary(value) for at, value in self._rows if at == number), None)
        return table_row_of(row) if isinstance(row, Mapping) and is_unsent(row) else row


def _holds(request: bytes, value: object) -> bool:
    """Whether a request holds a text; any other value passes, because the request may write it in another form."""
    if not isinstance(value, str):
        return True
    with suppress(UnicodeEncodeError):
        return msgspec.json.encode(value)[1:-1] in request or value in _texts(msgspec.json.decode(request))
    return True


def _texts(request: Any) -> str:
    if isinstance(request, dict):
        request = list(request.values())
    return "\0".join(map(_texts, request)) if isinstance(request, list) else str(request)


def without_binary(value: object) -> Any:
    """An element of the input as far as JSON can hold it."""
    if isinstance(value, bytes):  # a line that cannot be read
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        value = {key: part for key, part in value.items() if not _is_binary(part)}
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))
    except (TypeError, *UNREADABLE):
        return None


def renamed(row: Any) -> dict[str, Any]:
    """The columns of a row, under names that results do not use; none if the element is not a row of a table."""
    columns: dict[str, Any] = {}
    for key, value in row.items() if isinstance(row, Mapping) else ():
        if _is_binary(value):
            continue
        name = key
        while name in RESULT_FIELDS or name in columns or (name != key and name in row):
            name = f"input_{name}"
        columns[name] = value
    return columns


def _is_binary(value: object) -> bool:
    """Most likely an image, or several, which are not repeated with every answer."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else (value,)
    return any(isinstance(part, bytes) for part in parts)
