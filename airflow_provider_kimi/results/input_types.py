"""The types that the input declares for its columns: those in the footers of its Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.requests.sources import SourceFile, find_files
from airflow_provider_kimi.results.arrow_types import declared

if TYPE_CHECKING:
    from pyarrow import DataType


def arrow_types(source: object) -> dict[str, DataType | None] | None:
    """The types of the input's columns, from the schemas of its files; None if it is not of Parquet files.

    A column that holds bytes, which results leave out, is None. One whose type differs among the files is not there.
    """
    files = find_files(source) if isinstance(source, str) else []
    if not files or any(file.kind != "parquet" for file in files):
        return None
    import pyarrow

    schemas = [_schema_of(file) for file in files]
    types: dict[str, DataType | None] = {}
    for name in dict.fromkeys(name for schema in schemas for name in schema.names):
        found = {schema.field(name).type for schema in schemas if name in schema.names} - {pyarrow.null()}
        if len(found) < 2:
            types[name] = declared(found.pop() if found else pyarrow.null())
    return types


def _schema_of(file: SourceFile) -> Any:
    from pyarrow import parquet

    with file.opened() as source:
        return parquet.read_schema(source)
