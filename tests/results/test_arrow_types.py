"""The types of Parquet columns, and the values that come back from JSON."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa  # noqa: TID253  # it makes the types
import pytest
from pyarrow import parquet  # noqa: TID253  # it writes the files

from airflow_provider_kimi.requests.parquet_values import rows_of
from airflow_provider_kimi.results.arrow_types import declared
from airflow_provider_kimi.results.input_types import arrow_types
from airflow_provider_kimi.results.parquet_file import write_parquet

SHANGHAI = ZoneInfo("Asia/Shanghai")

#: Values that come back as they were: through JSON, into their own type.
CARRIED: list[tuple[Any, pa.DataType]] = [
    ("很好\u2028", pa.string()),
    ("a", pa.large_string()),
    (True, pa.bool_()),
    (-(2**63), pa.int64()),
    (2**64 - 1, pa.uint64()),
    (7, pa.int8()),
    (0.1, pa.float64()),
    (1.5, pa.float32()),
    (Decimal("-12.50"), pa.decimal128(10, 2)),
    (Decimal("1E+3"), pa.decimal256(50, 0)),
    (date(2026, 1, 31), pa.date32()),
    (time(8, 30, 0, 5), pa.time64("us")),
    (time(8, 30), pa.time32("s")),
    (datetime(2026, 1, 31, 8, 30), pa.timestamp("s")),
    (datetime(2026, 1, 31, 8, 30, 0, 123000, SHANGHAI), pa.timestamp("ms", "Asia/Shanghai")),
    (datetime(2026, 1, 31, 8, 30, 0, 123456, UTC), pa.timestamp("us", "UTC")),
    (datetime(1, 1, 1), pa.timestamp("us")),
    ([1, None, 2], pa.list_(pa.int32())),
    ([Decimal("1.5")], pa.list_(pa.decimal128(5, 1))),
    ({"a": date(2026, 1, 1), "b": None}, pa.struct([("a", pa.date32()), ("b", pa.string())])),
    ([{"at": [datetime(2026, 1, 1)]}], pa.list_(pa.struct([("at", pa.list_(pa.timestamp("us")))]))),
    ([("k", 1.5), ("l", None)], pa.map_(pa.string(), pa.float64())),
]


def through_results(column: pa.Array, folder: Path) -> pa.ChunkedArray:
    """What a column of the input is in the results."""
    kind = declared(column.type)
    rows = [
        msgspec.json.decode(msgspec.json.encode(row, enc_hook=str)) for row in rows_of(pa.record_batch({"a": column}))
    ]
    assert write_parquet([rows], folder / "out.parquet", {"a": kind}) == {}
    return parquet.read_table(folder / "out.parquet").column("a")


@pytest.mark.parametrize(("value", "kind"), CARRIED, ids=str)
def test_a_value_of_a_type_comes_back_as_it_was(value: Any, kind: pa.DataType, tmp_path: Path) -> None:
    column = pa.array([value, None], kind)
    (chunk,) = through_results(column, tmp_path).chunks
    assert chunk.to_pylist() == column.to_pylist()
    assert declared(kind) == kind


@pytest.mark.parametrize("nanoseconds", [1_700_000_000_123_456_789, 1_700_000_000_123_456_000, -1, 0])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"], ids=str)
def test_a_time_of_nanoseconds_comes_back_exactly(nanoseconds: int, zone: str | None, tmp_path: Path) -> None:
    column = pa.array([nanoseconds, None], pa.int64()).cast(pa.timestamp("ns", zone))
    assert through_results(column, tmp_path).combine_chunks().equals(column)


@pytest.mark.parametrize(
    ("given", "type_"),
    [
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.dictionary(pa.int8(), pa.date32()), pa.date32()),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), pa.list_(pa.string())),
        (pa.large_list(pa.int8()), pa.list_(pa.int8())),
        (pa.list_(pa.int8(), 3), pa.list_(pa.int8())),
        (pa.null(), pa.string()),
        (pa.duration("us"), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.binary(), None),
        (pa.binary(16), None),
        (pa.large_binary(), None),
        (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), None),
        (pa.list_(pa.struct([("image", pa.struct([("bytes", pa.binary())]))])), None),
        (pa.map_(pa.string(), pa.binary()), None),
        (pa.struct([("binary", pa.string())]), pa.struct([("binary", pa.string())])),
    ],
    ids=str,
)
def test_a_type_that_json_does_not_carry_is_a_plain_one_or_left_out(given: Any, type_: Any) -> None:
    assert declared(given) == type_


def test_the_types_of_a_directory_are_those_of_all_its_files(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1], "b": [1], "c": pa.nulls(1)}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": [2], "b": ["x"], "c": [date(2026, 1, 1)], "d": [b"x"]}), tmp_path / "2.parquet")
    types = arrow_types(str(tmp_path))
    assert types == {"a": pa.int64(), "c": pa.date32(), "d": None}, "b has two types"


def test_an_input_that_declares_nothing_has_no_types(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    assert arrow_types(str(tmp_path / "in.csv")) is None
    assert arrow_types([{"a": 1}]) is None
    assert arrow_types(None) is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", pa.int64()), (2**63, pa.int64()), (1.5, pa.int32()), (300, pa.int8()), ("soon", pa.date32())]
    + [([1], pa.struct([("a", pa.int8())])), ("a", pa.bool_()), ({"a": 1}, pa.list_(pa.string()))]
    + [("1.555", pa.decimal128(5, 2)), (7, pa.timestamp("ns"))],
    ids=str,
)
def test_a_value_of_another_type_is_null_and_counted(value: Any, kind: pa.DataType, tmp_path: Path) -> None:
    """The type stays, because one file of another type would break the reading of all days."""
    rows = [{"a": None}, {"a": value}, {"a": None}]
    assert write_parquet([rows, rows], tmp_path / "out.parquet", {"a": kind}) == {"a": 2}
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.field("a").type == kind
    assert table.column("a").null_count == 6
