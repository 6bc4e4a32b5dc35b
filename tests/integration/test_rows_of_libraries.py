"""Functions that ask for Airflow's context, and rows as the libraries make them that people read tables with."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pandas
import polars
import pydantic
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.tasks import Attempt, run_task

pytestmark = pytest.mark.usefixtures("hook")

PROMPT = "Classify {text}"


def create(source: Any, **parameters: Any) -> Attempt:
    context = parameters.pop("context", {})
    given = {"prompt": PROMPT, **parameters}
    return run_task(KimiCreateBatchOperator(task_id="create", input=source, **given), **context)


def requests_of(sim: KimiSimulator) -> dict[str, str]:
    """The text of each request, by its `custom_id`."""
    (batch,) = sim.batches.values()
    lines = map(json.loads, filter(None, sim.file_content(batch.input_file_id).split(b"\n")))
    return {line["custom_id"]: line["body"]["messages"][-1]["content"] for line in lines}


def landed(sim: KimiSimulator, folder: Path, created: Attempt, source: Any, **context: Any) -> list[dict[str, Any]]:
    sim.advance(60)
    task = KimiBatchResultsOperator(task_id="results", batch_id=created.value, output=str(folder), input=source)
    run_task(task, **context)
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def rows_of_a_day(ds: str, **context: Any) -> Iterator[dict[str, Any]]:
    yield {"text": f"{ds} in {context['params']['shop']}", "day": ds}


CONTEXT = {"ds": "2026-11-23", "params": {"shop": "Kyoto"}}


def test_a_function_gets_the_context_at_create_and_at_the_results(sim: KimiSimulator, tmp_path: Path) -> None:
    created = create(rows_of_a_day, context=CONTEXT)
    assert requests_of(sim) == {"row-00000001": "Classify 2026-11-23 in Kyoto"}
    (row,) = landed(sim, tmp_path, created, rows_of_a_day, **CONTEXT)
    assert (row["status"], row["day"], row["input_change"]) == ("succeeded", "2026-11-23", None)


def test_a_function_that_is_refused_at_the_results_says_what_was_paid(sim: KimiSimulator, tmp_path: Path) -> None:
    created = create(lambda: [{"text": "a"}])
    with pytest.raises(AirflowFailException, match=r"asks for 'day'.*billed.*Nothing was landed") as caught:
        landed(sim, tmp_path, created, lambda day: [{"text": day}])
    assert "Nothing was sent" not in str(caught.value)


class Review(NamedTuple):
    id: str
    text: str


@dataclass
class ReviewClass:
    id: str
    text: str


class ReviewModel(pydantic.BaseModel):
    id: str
    text: str


def from_sqlite() -> Iterator[Any]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    yield from connection.execute("select 'a' as id, 'good' as text union all select 'b', 'bad'")
    connection.close()


PAIRS = [("a", "good"), ("b", "bad")]
FRAME = {"id": ["a", "b"], "text": ["good", "bad"]}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(from_sqlite, id="sqlite3"),
        pytest.param(lambda: [Review(*pair) for pair in PAIRS], id="named tuples"),
        pytest.param(lambda: [ReviewClass(*pair) for pair in PAIRS], id="data classes"),
        pytest.param(lambda: [ReviewModel(id=key, text=text) for key, text in PAIRS], id="Pydantic"),
        pytest.param(lambda: pandas.DataFrame(FRAME), id="pandas"),
        pytest.param(lambda: polars.DataFrame(FRAME), id="polars"),
        pytest.param(lambda: pandas.DataFrame(FRAME).itertuples(), id="itertuples"),
        pytest.param(lambda: (row for _, row in pandas.DataFrame(FRAME).iterrows()), id="iterrows"),
        pytest.param([Review(*pair) for pair in PAIRS], id="a list"),
        pytest.param(pandas.DataFrame(FRAME), id="a DataFrame of pandas"),
        pytest.param(polars.DataFrame(FRAME), id="a DataFrame of polars"),
    ],
)
def test_the_rows_of_any_library_are_labelled_and_landed(
    sim: KimiSimulator, tmp_path: Path, source: Callable[[], Any]
) -> None:
    created = create(source, key_column="id")
    assert requests_of(sim) == {"a": "Classify good", "b": "Classify bad"}
    rows = landed(sim, tmp_path, created, source)
    assert [(row["status"], row["id"], row["text"], row["input_change"]) for row in rows] == [
        ("succeeded", "a", "good", None),
        ("succeeded", "b", "bad", None),
    ]


@pytest.mark.parametrize("way", ["messages", "body"])
def test_a_function_of_a_row_gets_a_dict_whatever_the_row_is(sim: KimiSimulator, way: str) -> None:
    def ask(row: dict[str, Any]) -> Any:
        assert type(row) is dict
        messages = [{"role": "user", "content": row["text"]}]
        return messages if way == "messages" else {"messages": messages}

    create(from_sqlite, prompt=None, key_column="id", **{way: ask})
    assert list(requests_of(sim).values()) == ["good", "bad"]


def test_values_of_numpy_and_pandas_are_written_as_a_person_expects(sim: KimiSimulator) -> None:
    rows = [
        {
            "id": numpy.int64(7),
            "text": [numpy.float64(0.5), pandas.NA, "名"],
            "vector": numpy.array([[1, 2], [3, 4]]),
            "day": pandas.Timestamp("2026-11-23"),
        }
    ]
    create(lambda: rows, prompt="{text} {vector} {day}", key_column="id")
    assert requests_of(sim) == {"7": '[0.5, null, "名"] [[1, 2], [3, 4]] 2026-11-23 00:00:00'}


def test_an_array_may_be_all_that_a_prompt_names(sim: KimiSimulator) -> None:
    create(lambda: [{"vector": numpy.array([1, 2])}], prompt="Classify {vector}")
    assert requests_of(sim) == {"row-00000001": "Classify [1, 2]"}


def test_nested_columns_of_a_table_are_json_in_the_prompt_and_unchanged_at_the_results(
    sim: KimiSimulator, tmp_path: Path
) -> None:
    table = tmp_path / "in.jsonl"
    table.write_text('{"text": {"title": "名", "tags": ["a", null, true]}}\n', encoding="utf-8")
    created = create(str(table))
    assert requests_of(sim) == {"row-00000001": 'Classify {"title": "名", "tags": ["a", null, true]}'}
    (row,) = landed(sim, tmp_path / "out", created, str(table))
    assert (row["text"], row["input_change"]) == ({"title": "名", "tags": ["a", None, True]}, None)


def test_rows_of_a_data_frame_with_missing_values_are_left_out(sim: KimiSimulator) -> None:
    frame = pandas.DataFrame({"text": ["a", None, "c"]})
    create(lambda: frame, on_invalid_row="skip")
    assert requests_of(sim) == {"row-00000001": "Classify a", "row-00000003": "Classify c"}


@pytest.mark.parametrize(
    "rows", [[("a", "good")], [5], [object()], [numpy.array([1, 2])]], ids=lambda rows: type(rows[0]).__name__
)
def test_what_names_no_columns_is_refused_by_its_row(sim: KimiSimulator, rows: list[Any]) -> None:
    kind = type(rows[0]).__name__
    with pytest.raises(
        AirflowFailException, match=rf"element 1 is a {kind}, but prompt is a template over the columns"
    ):
        create(lambda: rows)
    assert sim.journal == []


def test_a_partial_keeps_what_it_was_given(sim: KimiSimulator) -> None:
    def rows(ds: str, params: Mapping[str, str]) -> list[dict[str, str]]:
        return [{"text": f"{ds} {params['shop']}"}]

    create(partial(rows, ds="another day"), context=CONTEXT)
    assert requests_of(sim) == {"row-00000001": "Classify another day Kyoto"}
