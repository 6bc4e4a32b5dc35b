"""Labels are counted, and compared with gold labels, exactly and in bounded memory."""

import json
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from pydantic import BaseModel

from airflow_provider_kimi.records.manifest import Failure, Manifest
from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.failures import MAX_BYTES, fitted
from airflow_provider_kimi.results.quality import MAX_DIFFERING, OTHER, Quality, most_frequent
from airflow_provider_kimi.results.schema import read_schema

LABELS = ["positive", "negative", "neutral"]


class Tone(Enum):
    GOOD = "good"
    BAD = "bad"


class Review(BaseModel):
    tone: Tone
    stars: int
    is_ad: bool = False
    score: float | None = None
    summary: str = ""


def counted(schema: Any, rows: list[tuple[str | None, Any]], gold_column: str | None = "gold") -> Quality:
    """Count answers beside their gold cells; no answer is a row that failed."""
    check = AnswerCheck(read_schema(schema), gold_column=gold_column)
    quality = check.quality()
    assert quality is not None
    for number, (answer, gold) in enumerate(rows):
        status: Any = "failed" if answer is None else "succeeded"
        quality.add(check.judge(Row(custom_id=f"r{number}", status=status, content=answer, gold=gold)))
    return quality


def of_gold(schema: Any, rows: list[tuple[str | None, Any]], gold_column: str = "gold") -> dict[str, Any]:
    found = counted(schema, rows, gold_column).gold
    assert found is not None
    return found.to_dict()


@pytest.mark.parametrize(
    ("schema", "answer", "gold"),
    [
        (LABELS, "Positive.", "positive"),
        (LABELS, "positive", " POSITIVE "),
        ({"positive": ["好"], "negative": []}, "positive", "好"),
        ([1, 2, 3], "2", 2),
        ([1, 2, 3], "2", 2.0),
        ([1, 2, 3], "2", "2.0"),
        ([True, False], "true", True),
        ([True, False], "true", "True"),
        (Tone, "good", "Good"),
        (Literal["a", "b"], "a", "A"),
        ({"enum": ["a", "b"]}, '"a"', "a"),
        ({"type": "integer"}, "4", "4.0"),
        ({"type": "integer"}, "9007199254740993", 9007199254740993),
        ({"type": "integer"}, "9007199254740993", "9007199254740993"),
        (None, " any text\n", "any text"),
    ],
)
def test_a_gold_label_is_read_as_an_answer_is(schema: Any, answer: str, gold: Any) -> None:
    found = of_gold(schema, [(answer, gold)])
    assert (found["compared"], found["agreed"], found["unknown"]) == (1, 1, 0)


@pytest.mark.parametrize("gold", [None, "", " \n"])
def test_a_row_whose_gold_cell_is_empty_has_no_gold_label(gold: Any) -> None:
    assert of_gold(LABELS, [("positive", gold)])["rows"] == 0


@pytest.mark.parametrize(
    ("column", "gold", "agrees"),
    [
        ("tone", "GOOD", True),
        ("tone", "bad", False),
        ("stars", "4", True),
        ("stars", 4.0, True),
        ("stars", "5", False),
        ("is_ad", "False", True),
        ("is_ad", True, False),
        ("score", "0.50", True),
        ("summary", " nice ", True),
    ],
)
@pytest.mark.parametrize("schema", [Review, Review.model_json_schema(mode="serialization")])
def test_of_an_object_the_field_of_the_same_name_is_compared(schema: Any, column: str, gold: Any, agrees: bool) -> None:
    answer = '{"tone": "good", "stars": 4, "is_ad": false, "score": 0.5, "summary": "nice"}'
    found = of_gold(schema, [(answer, gold)], column)
    assert (found["compared"], found["agreed"]) == (1, agrees)


@pytest.mark.parametrize(
    ("column", "gold"),
    [("tone", "fine"), ("is_ad", "perhaps"), *(("stars", gold) for gold in ("many", "4.5", "nan", "1e400"))],
)
def test_a_gold_label_that_no_answer_could_have_is_unknown(column: str, gold: str) -> None:
    answer = '{"tone": "good", "stars": 4, "is_ad": false}'
    assert of_gold(Review, [(answer, gold), (None, gold)], column)["unknown"] == 2


@pytest.mark.parametrize(
    ("schema", "column"),
    [
        (Review, "label"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "label"),
        ({"type": "array", "items": {"type": "string"}}, "label"),
    ],
)
def test_a_gold_column_that_no_field_of_the_answers_has_is_refused(schema: Any, column: str) -> None:
    with pytest.raises(ValueError, match="gold_column is 'label'"):
        AnswerCheck(read_schema(schema), gold_column=column).quality()


def test_the_labels_of_usable_answers_are_counted() -> None:
    rows: list[tuple[str | None, Any]] = [("positive", None), ("Negative!", None), ("positive", None), (None, None)]
    assert counted(LABELS, [*rows, ("what?", None)], None).labels == {"positive": 2, "negative": 1}
    of_field: list[tuple[str | None, Any]] = [('{"tone": "good", "stars": 4}', None)]
    assert counted(Review, of_field, "tone").labels == {"good": 1}
    assert counted(Review, of_field, "stars").labels == {"4": 1}


@pytest.mark.parametrize(("schema", "gold_column"), [(None, None), (Review, None)])
def test_answers_without_labels_are_not_counted(schema: Any, gold_column: str | None) -> None:
    assert AnswerCheck(read_schema(schema), gold_column=gold_column).quality() is None


def test_the_texts_of_a_field_that_may_be_anything_are_not_counted() -> None:
    assert counted(Review, [('{"tone": "good", "stars": 4, "summary": "x"}', "x")], "summary").labels == {}
    assert counted(None, [("x", "x")]).labels == {}


def test_a_long_text_that_is_no_label_is_compared_and_not_repeated() -> None:
    text = "Dear Mr. Smith, " * 10
    found = of_gold(None, [(text, text), (f"{text}!", text)])
    assert (found["agreed"], found["differ"]) == (1, ["r1"])
    assert found["confusion"] == [{"gold": OTHER, "answer": OTHER, "count": 2}]


def test_a_row_that_asks_something_else_by_now_is_not_compared() -> None:
    check = AnswerCheck(read_schema(LABELS), gold_column="gold")
    quality = check.quality()
    assert quality is not None
    quality.add(Row(custom_id="r", status="succeeded", parsed="positive", input_change="changed", gold="negative"))
    assert quality.gold is not None
    assert quality.gold.to_dict()["changed"] == 1
    assert quality.gold.compared == 0


ANSWERS = st.sampled_from([*LABELS, None, "what?"])


@given(st.lists(st.tuples(ANSWERS, st.sampled_from([*LABELS, "Positive", "none", "", None]))))
def test_the_numbers_add_up_whatever_comes(rows: list[tuple[str | None, Any]]) -> None:
    found = of_gold(LABELS, rows)
    assert found["rows"] == found["compared"] + found["unanswered"] + found["unknown"]
    assert sum(cell["count"] for cell in found["confusion"]) == found["compared"]
    assert sum(cell["count"] for cell in found["confusion"] if cell["gold"] == cell["answer"]) == found["agreed"]
    assert len(found["differ"]) == found["compared"] - found["agreed"]
    assert (found["agreement"] is None) == (found["compared"] == 0)


def test_a_million_rows_that_differ_name_the_first_ones_only() -> None:
    check = AnswerCheck(gold_column="gold")
    quality = check.quality()
    assert quality is not None
    assert quality.gold is not None
    for number in range(30_000):
        quality.add(Row(custom_id=f"r{number}", status="succeeded", content=f"a{number}", gold=f"b{number}"))
    assert len(quality.gold.differ) == MAX_DIFFERING
    assert len(quality.gold.confusion) == 10_001
    assert sum(quality.gold.confusion.values()) == quality.gold.compared == 30_000


def test_the_most_frequent_labels_are_named_and_the_others_are_one_number() -> None:
    labels = {"a": 1, "b": 5, "c": 1, OTHER: 2}
    assert most_frequent(labels, 1) == {"b": 5, OTHER: 4}
    assert list(most_frequent({"a": 1, "b": 5, "c": 1}, 5).items()) == [("b", 5), ("a", 1), ("c", 1)]
    assert most_frequent(labels, 0) == {OTHER: 9}


WORDS = st.text(min_size=1, max_size=64)


@given(
    labels=st.dictionaries(WORDS, st.integers(1, 10**6), max_size=60),
    cells=st.lists(st.tuples(WORDS, WORDS, st.integers(1, 10**6)), max_size=300),
    ids=st.lists(WORDS, max_size=100),
    batches=st.integers(1, 100),
)
def test_a_manifest_fits_into_an_xcom_whatever_the_labels_are(
    labels: dict[str, int], cells: list[tuple[str, str, int]], ids: list[str], batches: int
) -> None:
    confusion = [{"gold": gold, "answer": answer, "count": count} for gold, answer, count in cells]
    failures = [Failure(status="failed", reason="server_error", count=1, sample=[one[:64]]) for one in ids[:10]]
    manifest = Manifest(
        batch_ids=[f"batch_{number:020}" for number in range(batches)],
        labels=most_frequent(labels, 50) if labels else UNSET,
        gold={"column": "gold", "rows": 1, "confusion": confusion, "differ": ids},
        failures=failures or UNSET,
    )
    found = fitted(manifest)
    assert len(json.dumps(found.to_dict())) <= MAX_BYTES
    assert found.gold
    kept = found.gold["confusion"]
    assert kept == confusion[: len(kept)]
    assert found.gold.get("confusion_cut", False) == (len(kept) < len(confusion))
    assert sum((found.labels or {}).values()) == sum(labels.values())


def test_labels_that_moved_are_cut_where_there_is_no_room_for_them() -> None:
    moves = [{"label": "很" * 64, "before": 0.5, "now": 0.25} for _ in range(5)]
    names, location = [f"{number:02}{'很' * 62}" for number in range(5)], "file:///data/" + "o" * 100
    manifest = Manifest(
        batch_ids=[f"batch_{number:032}" for number in range(70)],
        labels=dict.fromkeys(names, 1),
        drift={"distance": 0.5, "moves": moves},
        results_file=f"{location}/results.jsonl",
        output_file=f"{location}/output.jsonl",
    )
    found = fitted(manifest)
    assert len(json.dumps(found.to_dict())) <= MAX_BYTES
    assert found.labels
    assert sum(found.labels.values()) == len(names)
    assert found.drift == {"distance": 0.5, "moves": moves[:3]}


def test_what_fits_is_not_cut() -> None:
    confusion = [{"gold": "a", "answer": "b", "count": 1}]
    manifest = Manifest(batch_ids=["b"], labels={"a": 1}, gold={"confusion": confusion, "differ": ["r1"]})
    assert fitted(manifest) == manifest
