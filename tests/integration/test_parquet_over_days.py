"""Three days of results are one data set: the types of a Parquet file do not depend on what came that day."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas
import polars
import pyarrow as pa  # noqa: TID253  # it makes the input
import pytest
from pyarrow import dataset, parquet  # noqa: TID253  # they read the results
from pydantic import BaseModel

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.tasks import run_task

INPUT = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "when": pa.timestamp("ns", "UTC"),
        "price": pa.decimal128(10, 2),
        "day": pa.date32(),
        "stars": pa.int32(),
        "shop": pa.dictionary(pa.int32(), pa.string()),
        "tags": pa.list_(pa.string()),
        "place": pa.struct([("city", pa.string()), ("at", pa.timestamp("ms"))]),
        "photo": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
)

FULL: dict[str, Any] = {
    "text": "很好",
    "when": datetime(2026, 1, 31, 8, 30, tzinfo=UTC),
    "price": Decimal("9.90"),
    "day": date(2026, 1, 31),
    "stars": 5,
    "shop": "north",
    "tags": ["a", "b"],
    "place": {"city": "北京", "at": datetime(2026, 1, 1)},
    "photo": {"bytes": b"GIF8", "path": "a.gif"},
}
BARE = dict.fromkeys(FULL) | {"text": "0"}


class Part(BaseModel):
    name: str
    price: float | None = None


class Review(BaseModel):
    label: Literal["positive", "negative"]
    stars: int | None = None
    parts: list[Part] = []
    notes: dict[str, Any] = {}


FULL_ANSWER = {"label": "positive", "stars": 4, "parts": [{"name": "screen", "price": 1}], "notes": {"a": [1]}}


def answers(content: Mapping[str, Any]) -> Callable[[Any], Answer]:
    return lambda line: Answer(json.dumps(content))


def fails(line: Any) -> RowError:
    return RowError("engine_error", "it broke")


#: Rows of each day, and what is answered: all of it; nulls only, and an answer of the least; no answer at all.
DAYS: dict[str, tuple[list[dict[str, Any]], Callable[[Any], Any]]] = {
    "2026-01-01": ([FULL, BARE], answers(FULL_ANSWER)),
    "2026-01-02": ([BARE, BARE], answers({"label": "negative"})),
    "2026-01-03": ([FULL | {"tags": [], "stars": None}, FULL], fails),
}


def land_day(connect: Connect, folder: Path, day: str, **form: Any) -> Path:
    rows, responder = DAYS[day]
    source = folder / f"{day}.parquet"
    table = pa.Table.from_pylist([{"id": f"{day}-{at}", **row} for at, row in enumerate(rows)], INPUT)
    parquet.write_table(table, source)
    with KimiSimulator(speed=0, responder=responder) as sim:
        hook: KimiHook = connect(sim)
        wanted = order(str(source), prompt="{text}", key_column="id")
        batch_ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
        sim.advance(60)
        operator = KimiBatchResultsOperator(
            task_id="results",
            batch_id=batch_ids,
            output=str(folder / "out" / day),
            input=str(source),
            key_column="id",
            output_schema=Review,
            max_failed_ratio=1.0,
            **{"output_format": "parquet", **form},
        )
        run_task(operator)
    return folder / "out" / day / f"results.{operator.output_format}"


@pytest.fixture
def days(connect: Connect, tmp_path: Path) -> list[Path]:
    return [land_day(connect, tmp_path, day) for day in DAYS]


def test_the_schema_of_every_day_is_the_same(days: list[Path]) -> None:
    first, *others = map(parquet.read_schema, days)
    assert all(schema.equals(first) for schema in others)
    assert {name: str(first.field(name).type) for name in first.names} == {
        "custom_id": "string",
        "id": "string",
        "text": "string",
        "when": "timestamp[ns, tz=UTC]",
        "price": "decimal128(10, 2)",
        "day": "date32[day]",
        "stars": "int32",
        "shop": "string",
        "tags": "list<element: string>",
        "place": "struct<city: string, at: timestamp[ms]>",
        "parsed": "struct<label: string, stars: int64, parts: list<element: struct<name: string, price: double>>, "
        "notes: string>",
        **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "round"), "int64"),
        **dict.fromkeys(("status", "content", "finish_reason", "error_code", "error_message"), "string"),
        **dict.fromkeys(("model", "batch_id", "prompt_fingerprint", "input_change"), "string"),
    }


def test_pyarrow_polars_duckdb_and_pandas_read_three_days_together(days: list[Path], tmp_path: Path) -> None:
    pattern = str(tmp_path / "out" / "*" / "results.parquet")
    expected = dataset.dataset(list(map(str, days))).to_table()
    assert expected.num_rows == 6
    first = expected.slice(0, 1).to_pylist()[0]
    assert {name: first[name] for name in ("price", "day", "stars", "shop", "tags", "place")} == {
        name: FULL[name] for name in ("price", "day", "stars", "shop", "tags", "place")
    }
    assert first["when"] == FULL["when"]
    assert first["parsed"] == {**FULL_ANSWER, "parts": [{"name": "screen", "price": 1.0}], "notes": '{"a": [1]}'}
    read_by_polars = polars.scan_parquet(pattern).collect()
    assert read_by_polars.equals(polars.DataFrame(polars.from_arrow(expected)))
    assert read_by_polars["parsed"].struct.field("label").to_list() == ["positive"] * 2 + ["negative"] * 2 + [None] * 2
    query = duckdb.execute(f"SELECT parsed.label AS label, count(*), sum(price) FROM '{pattern}' GROUP BY 1 ORDER BY 1")
    assert query.fetchall() == [("negative", 2, None), ("positive", 2, Decimal("9.90")), (None, 2, Decimal("19.80"))]
    read_by_pandas = pandas.read_parquet([str(path) for path in days])
    assert list(read_by_pandas["custom_id"]) == expected.column("custom_id").to_pylist()
    assert str(read_by_pandas["when"].dtype) == "datetime64[ns, UTC]"


@pytest.mark.parametrize("values", [("1", "x"), ("", ""), ("2026-01-01", "true")], ids=str)
def test_a_csv_table_has_texts_whatever_they_look_like(
    values: tuple[str, str], sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text,value\n" + "".join(f"a,{value}\n" for value in values))
    batch_ids = submit(hook, order(str(source), prompt="{text}"), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    land(hook, tmp_path / "out", batch_ids, input=str(source), form=Form("parquet"))
    column = parquet.read_table(tmp_path / "out" / "results.parquet").column("value")
    assert (column.type, column.to_pylist()) == (pa.string(), list(values))


@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl"])
def test_the_fields_of_parsed_become_columns_of_their_own(output_format: str, connect: Connect, tmp_path: Path) -> None:
    """A field whose name is taken by a column of the table has another one."""
    path = land_day(connect, tmp_path, "2026-01-01", output_format=output_format, parsed_columns=True)
    readers: dict[str, Callable[[Path], polars.DataFrame]] = {
        "parquet": polars.read_parquet,
        "csv": polars.read_csv,
        "jsonl": polars.read_ndjson,
    }
    read = readers[output_format](path)
    own = ["content", "label", "parsed_stars", "parts", "notes", "finish_reason"]
    at = read.columns.index("content")
    assert read.columns[at : at + len(own)] == own
    assert (read["label"][0], read["parsed_stars"][0], read["stars"][0]) == ("positive", 4, 5)
    assert "parsed" not in read.columns


def test_spread_fields_have_their_types_on_a_day_without_answers(connect: Connect, tmp_path: Path) -> None:
    found = {parquet.read_schema(land_day(connect, tmp_path, day, parsed_columns=True)) for day in DAYS}
    (schema,) = found
    assert (str(schema.field("label").type), str(schema.field("parsed_stars").type)) == ("string", "int64")


def test_labels_that_are_numbers_are_numbers_every_day(tmp_path: Path) -> None:
    from airflow_provider_kimi.results.arrow_types import type_of
    from airflow_provider_kimi.results.parsed_shape import shape_of_values

    assert [type_of(shape_of_values(labels)) for labels in (["a"], [1, 2], [True, False])] == [
        pa.string(),
        pa.int64(),
        pa.bool_(),
    ]
