"""Answers are compared with gold labels: in both operators, whatever else is landed, whatever the input is by now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_kimi.operators.batch import KimiBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.support.rounds import QUICK, SPEED
from tests.support.tasks import run_to_end

LABELS = {"positive": ["pos", "好"], "negative": ["neg"], "neutral": []}


def table(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def saying(answers: Mapping[str, str]) -> Any:
    """A model that gives each row its answer; one without any has an error."""

    def answer(request: Mapping[str, Any]) -> Answer | RowError:
        said = answers.get(request["custom_id"])
        return RowError("server_error", "try again", 500) if said is None else Answer(said)

    return answer


def label(folder: Path, rows: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    own = {"task_id": "label", "input": table(folder, rows), "output": str(folder / "out"), "key_column": "id"}
    asked = {"prompt": "Positive? {text}", "output_schema": LABELS, "poke_interval": 0.1}
    manifest: dict[str, Any] = run_to_end(KimiBatchOperator(**{**own, **asked, **parameters})).value
    return manifest


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


def test_gold_labels_are_read_as_answers_are_and_compared(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=SPEED, timing=QUICK, responder=saying(SAID)) as sim:
        connect(sim)
        manifest = label(tmp_path, ROWS, gold_column="gold")
    assert manifest["gold"] == {
        **{"column": "gold", "rows": 5, "compared": 3, "unanswered": 1, "unknown": 1},
        **{"agreed": 2, "agreement": 2 / 3},
        "confusion": [
            {"gold": "positive", "answer": "positive", "count": 1},
            {"gold": "positive", "answer": "negative", "count": 1},
            {"gold": "negative", "answer": "negative", "count": 1},
        ],
        "differ": ["r1"],
    }
    assert manifest["labels"] == {"negative": 3, "positive": 3, "neutral": 1}
