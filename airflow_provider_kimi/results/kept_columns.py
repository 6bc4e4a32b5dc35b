"""Columns of the input that an earlier result has, and that a new one must not lose."""

from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

import msgspec

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import lines_at
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.results.staging import name_of

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def check_columns_kept(uri: str, earlier: Manifest, results: Path) -> None:
    """Refuse to replace a result with columns of the input by one in which no row that was asked has any.

    This is for a result whose manifest does not count such rows, as that of an earlier version.

    :param uri: Of the directory that holds the earlier result.
    :param results: The lines of the new one.
    """
    held = _columns(f"{uri.rstrip('/')}/{name_of(earlier.results_file)}") if earlier.results_file else set()
    if not held or any(_is_asked(row) and held & row.keys() for _, line in lines_at(results) if (row := _parts(line))):
        return
    names = ", ".join(sorted(held))
    raise KimiInputError(
        f"The result in {uri} has columns of the input ({names:.200}), and the new one would have none of them, "
        "because the batches do not say what their rows were, or key_column names other rows. The earlier result is "
        "kept, and nothing was landed. Pass the key_column of the create, if it had one, or another output."
    )


def _is_asked(row: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a row was asked; one that was added has columns in any case."""
    return bytes(row.get("input_change", b"")) != b'"added"'


def _columns(results: str) -> Set[str]:
    """The columns of the input in a results file, by its first row; none if it cannot be read."""
    with suppress(KimiInputError, OSError):
        row = next((item.value for item in Input(results)), None)
        return row.keys() - {*RESULT_FIELDS} if isinstance(row, dict) else set()
    return set()
