"""The columns of the input table, joined to the results by the name that each row had when it was sent."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
        self._rows = self._named(values, key_column)

    @staticmethod
    def _named(values: Iterable[object], key_column: KeyColumns | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, value in enumerate(values, 1):
            if is_ready_request(value):
                yield str(value["custom_id"]), {}
                continue
            try:
                name = custom_id_of(value, number, key_column)
            except RowProblem:
                continue
            yield name, value if isinstance(value, Mapping) else {}

    def columns_of(self, custom_id: str) -> dict[str, Any]:
        """The columns of a request's row; `input_` is put before a name that results use themselves, and bytes are
        left out.

        :raises KimiInputError: The table has no such row at or behind the last one asked for.
        """
        for name, row in self._rows:
            if name == custom_id:
                return renamed(row)
        raise KimiInputError(
            f"The batch has a request {custom_id[:80]!r} that the given input has not, or not at its place: "
            "the input is not the one that was submitted, has changed since, or key_column differs. The batch "
            "is not touched by this, and nothing was landed. Give the input and key_column that the batch was "
            "created with, or leave input away: then the results have no columns of the table."
        )


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
