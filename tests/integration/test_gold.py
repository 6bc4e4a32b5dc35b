"""Answers are compared with gold labels: in both operators, whatever is landed, and whatever the input is by now."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.simulator import Answer, KimiSimulator, label_answer
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.reviews import COUNT, read_rows, reviews_file
from tests.support.rounds import QUICK, SPEED
from tests.support.tasks import run_task, run_to_end

LABELS = {"positive": ["pos", "好"], "negative": ["neg"], "neutral": []}

#: Rows and what the model says to them.
ROWS: list[dict[str, Any]] = [
    {"id": "r0", "text": "a", "gold": "Positive"},
    {"id": "r1", "text": "b", "gold": " pos."},
    {"id": "r2", "text": "c", "gold": "negative"},
    {"id": "r3", "text": "d", "gold": None},
    {"id": "r4", "text": "e"},
    {"id": "r5", "text": "f", "gold": "bad"},
    {"id": "r6", "text": "g", "gold": "neutral"},
    {"id": "r7", "text": "h", "gold": "  "},
]
SAID = {
    "r0": "positive",
    "r1": "negative",
    "r2": "neg",
    "r3": "neutral",
    "r4": "positive",
    "r5": "negative",
    "r7": "好",
}

#: What comes of them.
GOLD = {
    **{"column": "gold", "rows": 5, "compared": 3, "unanswered": 1, "unknown": 1, "agreed": 2, "agreement": 2 / 3},
    "confusion": [
        {"gold": "positive", "answer": "positive", "count": 1},
        {"gold": "positive", "answer": "negative", "count": 1},
        {"gold": "negative", "answer": "negative", "count": 1},
    ],
    "differ": ["r1"],
}


def table(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def saying(answers: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Answer | RowError]:
    """A model that gives each row its answer; one without any has an error."""

    def answer(request: Mapping[str, Any]) -> Answer | RowError:
        said = answers.get(request["custom_id"])
        return RowError("server_error", "try again", 500) if said is None else Answer(said)

    return answer


def platform(answers: Mapping[str, str] = SAID) -> KimiSimulator:
    return KimiSimulator(speed=SPEED, timing=QUICK, responder=saying(answers))


def task(folder: Path, rows: list[dict[str, Any]] = ROWS, **parameters: Any) -> KimiBatchOperator:
    own = {"task_id": "label", "input": table(folder, rows), "output": str(folder / "out"), "key_column": "id"}
    asked = {"prompt": "Positive? {text}", "output_schema": LABELS, "poke_interval": 0.1, "gold_column": "gold"}
    return KimiBatchOperator(**{**own, **asked, **parameters})


def label(folder: Path, rows: list[dict[str, Any]] = ROWS, **parameters: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = run_to_end(task(folder, rows, **parameters)).value
    return manifest


def results_of(folder: Path, **parameters: Any) -> dict[str, Any]:
    """Create and land by operators of their own."""
    source = table(folder, ROWS)
    create = KimiCreateBatchOperator(task_id="create", input=source, prompt="Positive? {text}", key_column="id")
    ids = run_task(create).value
    own = {"task_id": "land", "output": str(folder / "out"), "input": source, "output_schema": LABELS}
    manifest: dict[str, Any] = run_task(KimiBatchResultsOperator(batch_id=ids, **{**own, **parameters})).value
    return manifest


def test_gold_labels_are_read_as_answers_are_and_compared(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        manifest = label(tmp_path)
    assert manifest["gold"] == GOLD
    assert manifest["labels"] == {"negative": 3, "positive": 3, "neutral": 1}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["gold"] == GOLD


@pytest.mark.parametrize("columns", [{"select": ["text"]}, {"exclude": ["gold"]}, {"select": ["gold"]}])
@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_the_gold_column_need_not_be_landed(
    connect: Connect, tmp_path: Path, columns: dict[str, Any], output_format: str
) -> None:
    with platform() as sim:
        connect(sim)
        manifest = label(tmp_path, output_format=output_format, **columns)
    assert manifest["gold"] == GOLD
    if output_format == "jsonl":
        landed = read_rows(tmp_path / "out" / "results.jsonl")
        assert any("gold" in row for row in landed) is ("gold" in columns.get("select", []))


def test_the_results_operator_compares_too(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        assert results_of(tmp_path, gold_column="gold")["gold"] == GOLD


def test_a_gold_label_that_was_corrected_since_counts_as_it_is_now(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        first = label(tmp_path)
        table(tmp_path, [{**row, "gold": "negative"} if row["id"] in ("r1", "r5") else row for row in ROWS])
        again = label(tmp_path, rows=read_rows(tmp_path / "reviews.jsonl"))
        assert len(sim.batches) == 1
    assert (first["gold"]["agreed"], again["gold"]["agreed"], again["gold"]["unknown"]) == (2, 4, 0)


def test_a_row_whose_text_was_changed_since_is_not_compared(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        create = KimiCreateBatchOperator(
            task_id="create", input=table(tmp_path, ROWS), prompt="Positive? {text}", key_column="id"
        )
        ids = run_task(create).value
        changed = [{**row, "text": "new"} if row["id"] == "r0" else row for row in ROWS if row["id"] != "r2"]
        added = {"id": "r9", "text": "new", "gold": "positive"}
        land = KimiBatchResultsOperator(
            task_id="land", batch_id=ids, output=str(tmp_path / "out"), input=table(tmp_path, [*changed, added]),
            output_schema=LABELS, gold_column="gold",
        )  # fmt: skip
        gold = run_task(land).value["gold"]
    assert {name: gold[name] for name in ("rows", "compared", "unanswered", "unknown", "changed", "agreed")} == {
        **{"rows": 4, "compared": 1, "unanswered": 1, "unknown": 1, "changed": 1, "agreed": 0}
    }


def test_rows_that_were_left_out_and_equal_keys_keep_their_gold_labels(connect: Connect, tmp_path: Path) -> None:
    rows = [*ROWS[:2], {"id": "bad", "text": None, "gold": "negative"}, *ROWS[2:]]
    with platform() as sim:
        connect(sim)
        gold = label(tmp_path, rows, on_invalid_row="skip")["gold"]
    assert gold == {**GOLD, "rows": 6, "unanswered": 2}


def test_each_round_is_compared_as_a_whole(connect: Connect, tmp_path: Path) -> None:
    times: dict[str, int] = {}

    def say(request: Mapping[str, Any]) -> Answer | RowError:
        name = request["custom_id"]
        times[name] = times.get(name, 0) + 1
        return saying({**SAID, "r6": "neutral"} if times[name] > 1 else SAID)(request)

    with KimiSimulator(speed=SPEED, timing=QUICK, responder=say) as sim:
        connect(sim)
        manifest = label(tmp_path, max_rounds=2)
    assert manifest["rounds"] == 2
    assert (manifest["gold"]["compared"], manifest["gold"]["agreed"]) == (4, 3)


def test_rows_that_repeat_another_one_are_compared_with_their_own_gold_label(connect: Connect, tmp_path: Path) -> None:
    rows = [{"id": f"r{number}", "text": "same", "gold": gold} for number, gold in enumerate(["pos", "neg", "pos"])]
    with platform({"r0": "positive"}) as sim:
        connect(sim)
        manifest = label(tmp_path, rows, dedupe=True)
    assert (manifest["gold"]["compared"], manifest["gold"]["agreed"], manifest["gold"]["differ"]) == (3, 2, ["r1"])
    assert manifest["labels"] == {"positive": 3}


def test_answers_without_a_schema_are_compared_by_their_text(connect: Connect, tmp_path: Path) -> None:
    rows = [{"id": "r0", "text": "a", "gold": "Berlin "}, {"id": "r1", "text": "b", "gold": "Rome"}]
    with platform({"r0": " Berlin\n", "r1": "Paris"}) as sim:
        connect(sim)
        manifest = label(tmp_path, rows, output_schema=None)
    assert (manifest["gold"]["agreed"], manifest["gold"]["differ"]) == (1, ["r1"])
    assert "labels" not in manifest


@pytest.mark.parametrize(
    ("policy", "raised"), [("fail", KimiBatchError), ("skip", AirflowSkipException), ("warn", None)]
)
def test_a_result_that_agrees_too_little_is_landed_and_fails_skips_or_warns(
    connect: Connect, tmp_path: Path, policy: str, raised: type[Exception] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with platform() as sim:
        connect(sim)
        limited = task(tmp_path, min_agreement="{{ 0.9 }}", on_too_many_failed=policy)
        if raised is None:
            run_to_end(limited)
            said = capsys.readouterr().out
        else:
            with pytest.raises((raised, AirflowFailException)) as caught:
                run_to_end(limited)
            said = str(caught.value)
    assert "2 of 3 answers agree with gold labels in 'gold' (66.67%), which is less than min_agreement=0.9" in said
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["gold"] == GOLD


def test_an_agreement_that_is_high_enough_is_accepted(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        assert label(tmp_path, min_agreement=2 / 3 - 1e-9)["status"] == "partial"


def test_a_changed_limit_and_a_clear_accept_the_result_without_paying_again(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        with pytest.raises((KimiBatchError, AirflowFailException)):
            run_to_end(task(tmp_path, min_agreement=0.9))
        assert label(tmp_path, min_agreement=0.5)["gold"] == GOLD
        assert len(sim.batches) == 1


def test_a_gold_column_that_no_row_has_is_refused_and_nothing_is_lost(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        with pytest.raises((KimiInputError, AirflowFailException), match="no row of the input has: 'glod'"):
            run_to_end(task(tmp_path, gold_column="glod"))
        assert label(tmp_path)["gold"] == GOLD
        assert len(sim.batches) == 1


def test_gold_labels_that_are_none_of_the_labels_are_warned_of(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with platform() as sim:
        connect(sim)
        label(tmp_path)
    assert "1 of 5 gold labels in 'gold' are none of the labels of output_schema" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gold", "status", "content"])
@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_a_merged_result_is_compared_as_a_whole(
    connect: Connect, tmp_path: Path, output_format: str, name: str
) -> None:
    rows = [{name if column == "gold" else column: value for column, value in row.items()} for row in ROWS]
    form: dict[str, Any] = {"output_format": output_format, "output_schema": LABELS, "gold_column": name}
    with platform() as sim:
        connect(sim)
        label(tmp_path, rows, **form)
    with platform({"r6": "positive"}) as sim:
        connect(sim)
        letters = str(tmp_path / "out" / "dead_letter.jsonl")
        ids = run_task(KimiCreateBatchOperator(task_id="again", input=letters)).value
        merge = KimiBatchResultsOperator(
            task_id="merge", batch_id=ids, output=str(tmp_path / "merged"), merge_with=str(tmp_path / "out"), **form
        )
        merged = run_task(merge).value
    cells = [*GOLD["confusion"], {"gold": "neutral", "answer": "positive", "count": 1}]  # type: ignore[misc]
    assert merged["gold"] == {
        **GOLD, "column": name, "compared": 4, "unanswered": 0, "agreement": 0.5, "confusion": cells,
        "differ": ["r1", "r6"],
    }  # fmt: skip
    assert merged["labels"] == {"positive": 4, "negative": 3, "neutral": 1}


def test_a_merge_into_a_result_without_the_gold_column_is_refused(connect: Connect, tmp_path: Path) -> None:
    with platform() as sim:
        connect(sim)
        label(tmp_path, exclude=["gold"])
        ids = run_task(KimiCreateBatchOperator(task_id="again", input=str(tmp_path / "out/dead_letter.jsonl"))).value
        merge = KimiBatchResultsOperator(
            task_id="merge", batch_id=ids, output=str(tmp_path / "merged"), merge_with=str(tmp_path / "out"),
            output_schema=LABELS, gold_column="gold",
        )  # fmt: skip
        with pytest.raises((KimiInputError, AirflowFailException), match="have no such column"):
            run_task(merge)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"gold_column": None, "min_agreement": 0.9}, "min_agreement is given; it needs gold_column"),
        ({"min_agreement": 90}, "min_agreement is 90; it must be a share from 0 to 1"),
        ({"max_drift": "far"}, "max_drift is 'far'; it must be a share"),
        ({"max_drift": 0.1, "output_schema": None}, "max_drift is given; it needs answers with labels"),
        ({"output_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}, "gold_column is 'gold'"),
        ({"gold_column": 3}, "gold_column is 3; it must be text"),
    ],
)
def test_what_cannot_be_compared_is_refused_while_the_dag_is_parsed(
    tmp_path: Path, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises((ValueError, KimiInputError), match=said):
        task(tmp_path, **parameters)


def test_the_results_operator_needs_an_input_for_gold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give input too"):
        KimiBatchResultsOperator(task_id="land", batch_id="b", output=str(tmp_path), gold_column="gold")


ASKED = "Answer with exactly one of: positive, negative, neutral\n{text}"


def golden_reviews(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """The 2,000 reviews, with a gold label beside most of them."""
    golds = ("positive", "Negative", "neutral", None)
    rows = read_rows(reviews_file(folder))
    rows = [{**row, "gold": golds[sum(row["review_id"].encode()) % 4]} for row in rows]
    return table(folder, rows), rows


def test_the_agreement_and_the_confusion_on_the_reviews_are_those_of_scikit_learn(
    connect: Connect, tmp_path: Path
) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    source, rows = golden_reviews(tmp_path)
    with KimiSimulator(speed=SPEED, timing=QUICK, responder=label_answer) as sim:
        connect(sim)
        manifest = label(tmp_path, rows, input=source, key_column="review_id", prompt=ASKED)
    landed = {row["custom_id"]: row["parsed"] for row in read_rows(tmp_path / "out" / "results.jsonl")}
    pairs = [
        (row["gold"].lower(), parsed)
        for row in rows
        if row["gold"] and (parsed := landed[row["review_id"]]) is not None
    ]
    right, answers = zip(*pairs, strict=True)
    names = sorted({*right, *answers})
    gold = manifest["gold"]
    assert (manifest["counts"]["total"], gold["compared"]) == (COUNT, len(pairs))
    assert gold["agreement"] == metrics.accuracy_score(right, answers)
    assert gold["agreed"] == metrics.accuracy_score(right, answers, normalize=False)
    counted = {(cell["gold"], cell["answer"]): cell["count"] for cell in gold["confusion"]}
    expected = metrics.confusion_matrix(right, answers, labels=names)
    assert [[counted.get((one, other), 0) for other in names] for one in names] == expected.tolist()
    assert (
        gold["differ"]
        == [
            row["review_id"]
            for row in rows
            if row["gold"] and landed[row["review_id"]] not in (None, row["gold"].lower())
        ][:20]
    )
