"""What pandas, polars and duckdb read of the results of a nasty table, in every format.

`golden/tables.json` holds what each of them reads, as JSON. CSV is read as text, as the documentation says; pandas
knows no null in it. Of a JSONL column of whole numbers that has nulls, pandas makes floating point numbers.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa  # noqa: TID253  # it makes the input
import pytest
from pyarrow import parquet  # noqa: TID253  # it writes the input

from airflow_provider_kimi.choices import OutputFormat
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit

GOLDEN: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(
    (Path(__file__).parent / "golden" / "tables.json").read_text(encoding="utf-8")
)

INPUT = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "note": pa.string(),
        "number": pa.int64(),
        "ratio": pa.float64(),
        "price": pa.decimal128(12, 2),
        "day": pa.date32(),
        "when": pa.timestamp("us", "UTC"),
        "tags": pa.list_(pa.string()),
        "place": pa.struct([("city", pa.string()), ("floors", pa.list_(pa.int64()))]),
        "status": pa.string(),
    }
)

ROWS: list[dict[str, Any]] = [
    {
        "id": "007",
        "text": '很好 👍, "quoted"\r\nsecond line\u2028third\u0085fourth',
        "note": None,
        "number": 2**53 + 1,
        "ratio": 0.1,
        "price": Decimal("1234567.80"),
        "day": date(2026, 1, 31),
        "when": datetime(2026, 1, 31, 8, 30, 0, 123456, UTC),
        "tags": ["a,b", 'c"d', "=e"],
        "place": {"city": "北京", "floors": [1, 2]},
        "status": "new",
    },
    {
        "id": "-008",
        "text": "=1+1",
        "note": "",
        "number": -(2**63),
        "ratio": -1e-300,
        "price": Decimal("-0.01"),
        "day": date(1, 1, 1),
        "when": datetime(1969, 12, 31, 23, 59, 59, 1, UTC),
        "tags": [],
        "place": {"city": "", "floors": []},
        "status": "",
    },
    {"id": "1e5", "text": "NA", **dict.fromkeys(INPUT.names[2:])},
]

#: How each of them reads a file so that nothing is guessed.
READERS: dict[str, dict[str, Callable[[str], list[dict[str, Any]]]]] = {
    "pandas": {
        "jsonl": lambda path: records(pandas.read_json(path, lines=True, dtype=False, dtype_backend="pyarrow")),
        "csv": lambda path: records(pandas.read_csv(path, dtype=str, keep_default_na=False)),
        "parquet": lambda path: records(pandas.read_parquet(path, dtype_backend="pyarrow")),
    },
    "polars": {
        "jsonl": lambda path: polars.read_ndjson(path, infer_schema_length=None).to_dicts(),
        "csv": lambda path: polars.read_csv(path, infer_schema=False).to_dicts(),
        "parquet": lambda path: polars.read_parquet(path).to_dicts(),
    },
    "duckdb": {
        "jsonl": lambda path: queried(
            f"read_json('{path}', format='newline_delimited', convert_strings_to_integers=false)"
        ),
        "csv": lambda path: queried(f"read_csv('{path}', all_varchar=true, allow_quoted_nulls=false)"),
        "parquet": lambda path: queried(f"read_parquet('{path}')"),
    },
}


def records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return found


def queried(table: str) -> list[dict[str, Any]]:
    relation = duckdb.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in relation.description or ()]
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def as_json(value: Any) -> Any:
    """What is read, as JSON holds it; times in ISO 8601."""
    if isinstance(value, dict):
        return {name: as_json(part) for name, part in value.items()}
    if hasattr(value, "tolist") and not hasattr(value, "isoformat"):
        value = value.tolist()
    if isinstance(value, list):
        return [as_json(part) for part in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


@pytest.fixture
def batch(connect: Connect, tmp_path: Path) -> Iterator[tuple[KimiHook, list[str], str]]:
    """A batch of the table that has ended, and the table."""
    source = tmp_path / "in.parquet"
    parquet.write_table(pa.Table.from_pylist(ROWS, INPUT), source)
    answers: Iterator[Answer | RowError] = iter(
        [Answer('+1 "很好",\n\u2028'), Answer("positive"), RowError("engine_error", "it broke")]
    )
    with KimiSimulator(speed=0, responder=lambda line: next(answers)) as sim:
        hook = connect(sim)
        wanted = order(str(source), prompt="{text}", key_column="id")
        batch_ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
        sim.advance(60)
        yield hook, batch_ids, str(source)


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("reader", READERS)
def test_other_programs_read_every_value_of_a_nasty_table(
    reader: str, output_format: OutputFormat, batch: tuple[KimiHook, list[str], str], tmp_path: Path
) -> None:
    hook, batch_ids, source = batch
    land(hook, tmp_path / "out", batch_ids, form=Form(output_format), input=source, key_column="id")
    path = str(tmp_path / "out" / f"results.{output_format}")
    rows = [as_json(row) for row in READERS[reader][output_format](path)]
    for row in rows:
        del row["batch_id"], row["prompt_fingerprint"]
    assert rows == GOLDEN[reader][output_format]


def test_what_was_given_is_what_every_program_reads_of_parquet() -> None:
    """The goldens themselves: one and the same table, three times, and it holds what was given."""
    pandas_, polars_, duckdb_ = (GOLDEN[reader]["parquet"] for reader in READERS)
    assert pandas_ == polars_ == duckdb_
    for row, given in zip(polars_, ROWS, strict=True):
        expected = {"input_status" if name == "status" else name: as_json(value) for name, value in given.items()}
        assert {name: row[name] for name in expected} == expected
