"""From the schema of an answer to the rows that keep to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, LABELS, order, spoiling, submit


class Review(BaseModel):
    label: Literal["positive", "negative", "neutral"]


ANSWERS: dict[str, Any] = {
    "row-00000001": Answer('```json\n{"label": "negative"}\n```'),
    "row-00000002": Answer('{"label": "SECRET"}'),
    "row-00000003": Answer("<think>It is good.</think>\npositive"),
    "row-00000004": Answer("positive", reasoning_content="They love it."),
    "row-00000005": Answer("<think>It never ends", finish_reason="length"),
    "row-00000006": Answer("Negative."),
}


@pytest.fixture
def odd(connect: Connect) -> Iterator[tuple[KimiHook, list[str]]]:
    """A batch that has ended, with odd answers, and the hook that knows it."""
    with KimiSimulator(speed=0, responder=spoiling(ANSWERS)) as sim:
        hook = connect(sim)
        submission = submit(hook, order(["I love it"] * 7, system_prompt=LABELS), ATTEMPT, LogRecord())
        sim.advance(60)
        yield hook, submission.batch_ids


def test_labels_are_parsed_and_other_answers_are_invalid(odd: tuple[KimiHook, list[str]], tmp_path: Path) -> None:
    check = AnswerCheck(read_schema(["positive", "negative", "neutral"]))
    result = land(odd[0], tmp_path, odd[1], check=check)
    rows = result.rows()
    assert [row["parsed"] for row in rows] == [
        *("negative", None, "positive", "positive", None, "negative", "positive")
    ]
    assert [row["status"] for row in rows[:5]] == ["succeeded", "invalid", "succeeded", "succeeded", "truncated"]
    assert rows[1]["content"] == '{"label": "SECRET"}'
    assert rows[2]["content"] == "positive"
    assert "reasoning" not in rows[0]
    assert [json.loads(line)["custom_id"] for line in (tmp_path / "dead_letter.jsonl").read_bytes().splitlines()] == [
        "row-00000002",
        "row-00000005",
    ]
    assert "SECRET" not in "".join(result.log.warnings)
    assert "2 answers held the model's thoughts, which were removed." in result.log.warnings


def test_thoughts_are_landed_in_a_column_with_reasoning_column(odd: tuple[KimiHook, list[str]], tmp_path: Path) -> None:
    rows = land(odd[0], tmp_path, odd[1], check=AnswerCheck(reasoning="column")).rows()
    assert [row["reasoning"] for row in rows[2:5]] == ["It is good.", "They love it.", "It never ends"]
    assert "parsed" not in rows[0]


@pytest.mark.parametrize("schema", [[], {"type": "nonsense"}, "positive", 7], ids=repr)
def test_an_output_schema_that_is_not_a_schema_is_refused_while_the_dag_is_parsed(schema: Any) -> None:
    with pytest.raises(ValueError, match="output_schema is"):
        KimiCreateBatchOperator(task_id="create", input=["a"], output_schema=schema)
    with pytest.raises(ValueError, match="output_schema is"):
        KimiBatchResultsOperator(task_id="results", batch_id="b", output="/tmp", output_schema=schema)


def sent_body(sim: KimiSimulator, hook: KimiHook, **changes: Any) -> dict[str, Any]:
    submit(hook, order([{"t": "a"}], **{"prompt": "{t}", **changes}), ATTEMPT, LogRecord())
    (batch,) = sim.batches.values()
    body: dict[str, Any] = json.loads(sim.file_content(batch.input_file_id))["body"]
    return body


def test_an_output_schema_is_sent_as_response_format(sim: KimiSimulator, hook: KimiHook) -> None:
    wanted = read_schema(Review)
    assert wanted is not None
    body = sent_body(sim, hook, response_format=wanted.response_format)
    assert body["response_format"]["json_schema"]["schema"] == Review.model_json_schema()


def test_a_response_format_in_request_params_has_priority_over_the_schema(sim: KimiSimulator, hook: KimiHook) -> None:
    own = {"type": "json_schema", "json_schema": {"name": "own", "schema": {"type": "object"}}}
    body = sent_body(sim, hook, response_format={"type": "text"}, request_params={"response_format": own})
    assert body["response_format"] == own


def test_a_response_format_in_the_body_has_priority_over_the_schema(sim: KimiSimulator, hook: KimiHook) -> None:
    own = {"messages": [{"role": "user", "content": "{t}"}], "response_format": {"type": "text"}}
    body = sent_body(sim, hook, response_format={"type": "json_object"}, prompt=None, body=own)
    assert body["response_format"] == {"type": "text"}
