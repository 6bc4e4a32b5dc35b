"""The columns of the input table, joined to the results by the name that each row had when it was sent."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from airflow_provider_kimi.batch.faults import RowProblem
from airflow_provider_kimi.batch.keys import KeyColumns, custom_id_of
from airflow_provider_kimi.batch.requests import is_ready_request
from airflow_provider_kimi.exceptions import KimiInputError

#: The fields of a results row, in order; an input column of the same name must not hide one.
RESULT_FIELDS = (
    "custom_id",
    "status",
    "content",
    "finish_reason",
    "error_code",
    "error_message",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "model",
    "batch_id",
    "round",
)


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
            named[str(value["custom_id"])] = {}
        with suppress(RowProblem):
            named[custom_id_of(value, number, self._key_column)] = value if isinstance(value, Mapping) else {}
        return named

    def columns_of(self, custom_id: str) -> dict[str, Any]:
        """The columns of a request's row; `input_` is put before a name that results use themselves, and bytes are
        left out.

        :raises KimiInputError: The table has no such row behind the last one asked for.
        """
        for number, value in self._rows:
            named = self._columns_by_name(number, value)
            if custom_id in named:
                return renamed(named[custom_id])
        raise KimiInputError(
            f"The batch has a request {custom_id[:80]!r} that the given input has not, or not at its place: "
            "the input is not the one that was submitted, has changed since, or key_column differs. The batch "
            "is not touched by this, and nothing was landed. Give the input and key_column that the batch was "
            "created with, or leave input away: then the results have no columns of the table."
        )

    def row_at(self, number: int) -> Any:
        """A row that has no request, by its place from 1, as far as JSON can hold it; None if it is not there."""
        return next((_without_binary(value) for at, value in self._rows if at == number), None)


def _without_binary(value: object) -> Any:
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
    return isinstance(value, bytes) or (isinstance(value, list) and any(isinstance(part, bytes) for part in value))
