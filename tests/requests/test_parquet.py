"""The rows of Parquet files: every type, whatever the row groups, and what of a file cannot be read at all."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253  # it makes the files
import pytest
from pyarrow import parquet  # noqa: TID253

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.requests.tables import InputRow, read_table


def written(path: Path, table: Any, **options: Any) -> Path:
    parquet.write_table(table, path, **options)
    return path


def items_of(path: Path) -> list[InputRow]:
    (file,) = find_files(str(path))
    return list(read_table(file))


def rows_of(path: Path) -> list[Any]:
    items = items_of(path)
    assert not [item.problem for item in items if item.problem]
    return [item.value for item in items]


def problem_of(path: Path) -> str:
    with pytest.raises(KimiInputError) as caught:
        items_of(path)
    assert str(caught.value).startswith(f"Input {str(path)[:200]!r} ")
    assert " Nothing was sent. " in str(caught.value)
    return str(caught.value)


def texts(count: int, size: int) -> Any:
    """A column of texts that differ, so that no dictionary makes them small."""
    return pa.array([f"{number:08d}".ljust(size, chr(97 + number % 26)) for number in range(count)])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param("评价\u2028{{ a }}", pa.string(), id="text"),
        pytest.param("x", pa.large_string(), id="large text"),
        pytest.param("x", pa.dictionary(pa.int8(), pa.string()), id="category"),
        pytest.param(2**63 - 1, pa.int64(), id="int"),
        pytest.param(2**64 - 1, pa.uint64(), id="unsigned"),
        pytest.param(0.5, pa.float32(), id="float"),
        pytest.param(True, pa.bool_(), id="bool"),
        pytest.param(Decimal("12345678901234567890.12"), pa.decimal128(30, 2), id="decimal"),
        pytest.param(date(1900, 1, 1), pa.date32(), id="date"),
        pytest.param(datetime(2026, 10, 1, 8, 30, 0, 5), pa.timestamp("us"), id="timestamp"),
        pytest.param(datetime(2026, 10, 1, tzinfo=UTC), pa.timestamp("ms", "UTC"), id="timestamp with zone"),
        pytest.param(time(8, 30), pa.time64("us"), id="time"),
        pytest.param(timedelta(days=1), pa.duration("us"), id="duration"),
        pytest.param(b"\x89PNG\0\xff", pa.binary(), id="bytes"),
        pytest.param([[1, None], []], pa.list_(pa.list_(pa.int64())), id="nested lists"),
        pytest.param({"a": [{"b": "c"}], "d": None}, None, id="nested structs"),
    ],
)
def test_a_value_of_any_type_is_read_as_it_was_written(value: object, kind: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "in.parquet", pa.table({"a": pa.array([value, None], kind)}))
    assert rows_of(path) == [{"a": value}, {"a": None}]


_OF_A_TYPE: list[tuple[Any, int, object]] = [
    (pa.timestamp("ns"), 1_234_567_891, "1970-01-01 00:00:01.234567891"),
    (pa.timestamp("ns"), -1, "1969-12-31 23:59:59.999999999"),
    (pa.timestamp("ns"), 1_234_567_000, datetime(1970, 1, 1, 0, 0, 1, 234_567)),
    (pa.timestamp("ns", "Asia/Shanghai"), 1_000_000_001, "1970-01-01 08:00:01.000000001+08:00"),
    (pa.time64("ns"), 5, "00:00:00.000000005"),
    (pa.duration("ns"), 1_500, "1500"),
    (pa.timestamp("s"), 3 * 10**11, "11476-08-15 05:20:00.000"),
    (pa.timestamp("us"), 2**60, "<value out of range: 1152921504606846976>"),
    (pa.date32(), 10**7, "29349-01-26"),
]


@pytest.mark.parametrize(("kind", "number", "read"), _OF_A_TYPE, ids=str)
def test_a_time_that_python_cannot_hold_is_a_text_and_does_not_refuse_the_file(
    kind: Any, number: int, read: object, tmp_path: Path
) -> None:
    """Nothing depends on whether pandas is installed, which holds nanoseconds."""
    of_type = pa.array([number, None], pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    path = written(tmp_path / "in.parquet", pa.table({"text": ["a", "b"], "at": of_type}))
    found = rows_of(path)
    assert found == [{"text": "a", "at": read}, {"text": "b", "at": None}]
    assert type(found[0]["at"]) is type(read)


def test_a_time_that_python_cannot_hold_is_a_text_inside_lists_and_structs_too(tmp_path: Path) -> None:
    inside = pa.struct([("at", pa.list_(pa.int64()))])
    times = pa.struct([("at", pa.list_(pa.timestamp("ns")))])
    column = pa.array([{"at": [1, 1_000]}, {"at": [1_000]}], inside).cast(times)
    assert [row["a"]["at"] for row in rows_of(written(tmp_path / "in.parquet", pa.table({"a": column})))] == [
        ["1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00.000001000"],
        [datetime(1970, 1, 1, 0, 0, 0, 1)],
    ]


def test_a_parquet_file_may_have_any_codec(tmp_path: Path) -> None:
    for codec in ("none", "snappy", "gzip", "zstd"):
        path = written(tmp_path / f"{codec}.parquet", pa.table({"a": [1, 2]}), compression=codec)
        assert rows_of(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("group", [1, 7, 2500, 10_000])
def test_a_parquet_file_keeps_the_order_of_its_rows_in_any_row_groups(group: int, tmp_path: Path) -> None:
    path = written(tmp_path / "in.parquet", pa.table({"a": list(range(2500))}), row_group_size=group)
    assert rows_of(path) == [{"a": number} for number in range(2500)]


def test_a_parquet_file_may_have_no_rows_or_no_columns(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / "a.parquet", pa.table({"a": pa.array([], pa.int64())}))) == []
    assert rows_of(written(tmp_path / "b.parquet", pa.table({}))) == []


def test_a_parquet_file_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert "names the column 'a' twice" in problem_of(written(tmp_path / "in.parquet", table))


def test_a_parquet_file_is_held_in_small_batches_however_large_its_row_group_is(tmp_path: Path) -> None:
    """80 MB in one row group; decoded at once are a few megabytes, or a page where that is larger."""
    table = pa.table({"a": texts(800, 100_000)})
    path = written(tmp_path / "in.parquet", table, use_dictionary=False, write_batch_size=8)
    assert parquet.read_metadata(path).num_row_groups == 1
    (file,) = find_files(str(path))
    del table
    before, most, count = pa.total_allocated_bytes(), 0, 0
    for item in read_table(file):
        most = max(most, pa.total_allocated_bytes() - before)
        assert item.value["a"][:8] == f"{count:08d}"
        count += 1
    assert count == 800
    assert most < 40_000_000, "half of the row group"


def test_a_parquet_file_of_one_large_row_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "in.parquet", pa.table({"a": texts(3, 6_000_000)}))
    assert [len(row["a"]) for row in rows_of(path)] == [6_000_000] * 3


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PAR1", id="four bytes"),
        pytest.param(b"id,text\nr1,a\n" * 10, id="another kind of file"),
        pytest.param(b"PAR1" + b"x" * 100 + b"\xff\xff\xff\x00PAR1", id="a footer that is none"),
    ],
)
def test_a_file_that_is_not_a_whole_parquet_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.parquet").write_bytes(content)
    message = problem_of(tmp_path / "in.parquet")
    assert "is not a whole Parquet file (" in message
    assert message.endswith("Write the file again.")


def test_a_parquet_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "in.parquet", pa.table({"a": texts(2000, 100)}))
    path.write_bytes(path.read_bytes()[:-100])
    assert "is not a whole Parquet file (" in problem_of(path)


def test_a_parquet_file_whose_pages_are_damaged_is_refused(tmp_path: Path) -> None:
    """No retry can fix it, so it is not taken for an error of the storage."""
    path = written(tmp_path / "in.parquet", pa.table({"a": texts(2000, 100)}))
    content = bytearray(path.read_bytes())
    content[1000:2000] = b"\xff" * 1000
    path.write_bytes(content)
    assert "is not a whole Parquet file (" in problem_of(path)


def test_a_parquet_file_that_does_not_exist_is_refused_as_missing(tmp_path: Path) -> None:
    assert "does not exist" in problem_of(tmp_path / "absent.parquet")


def test_a_worker_without_pyarrow_says_what_to_install(tmp_path: Path) -> None:
    path = written(tmp_path / "in.parquet", pa.table({"a": [1]}))
    program = f"""
import sys
sys.modules["pyarrow"] = None
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.inputs import Input
try:
    list(Input({str(path)!r}))
except KimiInputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    message = done.stdout.strip().splitlines()[-1]
    assert "is a Parquet file, and pyarrow is not installed here. Nothing was sent." in message
    assert message.endswith("pip install 'airflow-provider-kimi[parquet]'.")
