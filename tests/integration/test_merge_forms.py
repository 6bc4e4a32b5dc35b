"""Answers are merged into results of every format, where the rows that stay are what they were, cell by cell."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: TID253  # it makes the input
import pytest
from pyarrow import parquet  # noqa: TID253  # it reads the results

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.parsed_shape import spread_fields
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import Answer
from airflow_provider_kimi.simulator.answers import RowError
from tests.integration.test_merge_with import Platform, Stage, on, platform_of
from tests.support.landing import Landed, land
from tests.support.logs import LogRecord
from tests.support.rounds import BROKEN
from tests.support.s3 import Storage

__all__ = ["on"]

INPUT = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "note": pa.string(),
        "number": pa.int64(),
        "ratio": pa.float64(),
        "price": pa.decimal128(12, 2),
        "when": pa.timestamp("ns", "UTC"),
        "tags": pa.list_(pa.string()),
        "place": pa.struct([("city", pa.string()), ("floors", pa.list_(pa.int64()))]),
        "status": pa.string(),
    }
)

ROWS: list[dict[str, Any]] = [
    {
        **{"id": '0,"7', "text": '很好 👍, "quoted"\r\nsecond line\u2028third', "note": None, "number": 2**53 + 1},
        **{"ratio": 0.1, "price": Decimal("1234567.80"), "when": datetime(2026, 1, 31, 8, 30, 0, 123456, UTC)},
        **{"tags": ["a,b", 'c"d', "=e"], "place": {"city": "北京", "floors": [1, 2]}, "status": "new"},
    },
    {
        **{"id": "-008", "text": "=1+1", "note": "", "number": -(2**63), "ratio": -1e-300, "price": Decimal("-0.01")},
        **{"when": datetime(1969, 12, 31, 23, 59, 59, 1, UTC), "tags": [], "place": {"city": "", "floors": []}},
        **{"status": ""},
    },
    {"id": "1e5", "text": "NA", **dict.fromkeys(INPUT.names[2:])},
    {"id": "later", "text": "'=1", "note": "-1e5", "number": 1, "status": "x", "tags": ["y"]},
]

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "sure": {"type": "boolean"}},
    "required": ["label", "sure"],
}

FORMS: dict[str, Callable[[], Form]] = {
    "jsonl": Form,
    "csv": lambda: Form("csv"),
    "csv for Excel": lambda: Form("csv", CsvOptions(";", bom=True, quoting="all")),
    "csv without a guard": lambda: Form("csv", CsvOptions(formula_guard=False)),
    "parquet": lambda: Form("parquet"),
}


def saying(*fails: str) -> Callable[..., Answer | RowError]:
    """Rows of these texts fail the first time."""

    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        answer = Answer(json.dumps({"label": f"={custom_id}", "sure": True}))
        return BROKEN if body["messages"][0]["content"] in fails and times == 1 else answer

    return say


def table(folder: Path) -> str:
    path = folder / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(ROWS, schema=INPUT), path)
    return str(path)


def landed(platform: Platform, name: str, **changes: Any) -> Landed:
    source = table(platform.folder)
    ids = platform.ask(source, prompt="{text}", key_column="id")
    return land(platform.hook, platform.folder / name, ids, input=source, key_column="id", **changes)


def comparable(folder: Path, form: Form) -> list[Any]:
    """The rows of a results file, without what must differ: ids of batches, and the round."""
    path = folder / f"results.{form.output_format}"
    if form.output_format == "parquet":
        rows = parquet.read_table(path)
        return [rows.schema, *rows.drop_columns(["batch_id", "round"]).to_pylist()]
    text = path.read_bytes().decode()
    if form.output_format == "csv":  # both are behind the rest, before the fingerprint
        return [line.rsplit(form.csv.delimiter, 3)[::3] for line in text.split("\r\n")]
    return [{**json.loads(line), "batch_id": "", "round": 0} for line in text.split("\n") if line]


@pytest.mark.parametrize("is_spread", [False, True], ids=["parsed", "parsed_columns"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_merged_file_is_as_if_all_rows_had_been_answered_at_once(
    on: Stage, form: Callable[[], Form], is_spread: bool
) -> None:
    schema = read_schema(SCHEMA)
    assert schema is not None
    made = form()
    spread = spread_fields(schema.shape) if is_spread else None
    wanted: dict[str, Any] = {
        "check": AnswerCheck(schema),
        "form": Form(made.output_format, made.csv, schema.shape, spread),
    }
    with platform_of(saying()) as sim:
        whole = landed(on(sim), "whole", **wanted)
    with platform_of(saying("=1+1", "'=1")) as sim:
        platform = on(sim)
        first = landed(platform, "first", **wanted)
        merged = platform.merge(first, platform.again(first), **wanted)
    assert merged.manifest["counts"] == whole.manifest["counts"]
    assert merged.manifest.get("guarded_cells") == whole.manifest.get("guarded_cells")
    assert comparable(merged.folder, made) == comparable(whole.folder, made)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_merge_replaces_the_earlier_result_on_s3(on: Stage, s3: Storage, form: Any) -> None:
    output = s3.uri("labels")
    with platform_of(saying("=1+1", "'=1")) as sim:
        platform = on(sim)
        source = table(platform.folder)
        ids = platform.ask(source, prompt="{text}", key_column="id")
        first = land_at(platform, output, ids, input=source, key_column="id", form=Form(form))
        letters = platform.folder / "letters.jsonl"
        letters.write_bytes(s3.get("labels/dead_letter.jsonl"))
        ids = platform.ask(str(letters))
        merged = land_at(platform, output, ids, merge_with=output, form=Form(form))
        assert land_at(platform, output, ids, merge_with=output, form=Form(form)) == merged
    assert (first["counts"]["succeeded"], merged["counts"]["succeeded"]) == (2, 4)
    assert json.loads(s3.get("labels/manifest.json")) == merged
    assert s3.keys() == ["labels/error.jsonl", "labels/manifest.json", "labels/output.jsonl", f"labels/results.{form}"]


def land_at(platform: Platform, output: str, ids: list[str], **changes: Any) -> dict[str, Any]:
    """Land on any storage."""
    calls = Calls(platform.hook, LogRecord(), lambda seconds: None)
    return collect(calls, Landing(ids, output, **changes)).manifest.to_dict()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (Form("csv"), Form(), "output_format is 'jsonl'"),
        (Form("csv"), Form("csv", CsvOptions(";")), "only one of both has"),
        (Form("csv"), Form("csv", CsvOptions(formula_guard=False)), "would differ in formula_guard"),
    ],
    ids=["format", "delimiter", "guard"],
)
def test_rows_of_another_form_are_refused(on: Stage, first: Form, second: Form, message: str) -> None:
    with platform_of(saying("'=1")) as sim:
        platform = on(sim)
        earlier = landed(platform, "first", form=first)
        with pytest.raises(KimiInputError, match=message):
            platform.merge(earlier, platform.again(earlier), form=second)


def test_a_parquet_column_of_another_type_is_refused(on: Stage) -> None:
    labels, numbers = read_schema(SCHEMA), read_schema({"type": "object", "properties": {"label": {"type": "integer"}}})
    assert labels is not None
    assert numbers is not None
    with platform_of(saying("'=1")) as sim:
        platform = on(sim)
        form = Form("parquet", parsed=labels.shape)
        earlier = landed(platform, "first", form=form, check=AnswerCheck(labels))
        ids, other = platform.again(earlier), Form("parquet", parsed=numbers.shape)
        with pytest.raises(KimiInputError, match="would differ in parsed"):
            platform.merge(earlier, ids, form=other, check=AnswerCheck(numbers))


def test_a_day_of_the_input_stays_a_day(on: Stage) -> None:
    """Types that JSON cannot hold come back as they were."""
    with platform_of(saying("a")) as sim:
        platform = on(sim)
        path = platform.folder / "days.parquet"
        rows = [{"id": name, "day": date(2026, 1, 31), "text": name} for name in "ab"]
        parquet.write_table(pa.Table.from_pylist(rows), path)
        ids = platform.ask(str(path), prompt="{text}", key_column="id")
        first = land(platform.hook, platform.folder / "a", ids, input=str(path), key_column="id", form=Form("parquet"))
        platform.merge(first, platform.again(first), form=Form("parquet"))
    found = parquet.read_table(platform.folder / "b" / "results.parquet")
    assert found.column("day").to_pylist() == [date(2026, 1, 31)] * 2
