"""A new user's first own schema, against the simulator: through create, wait and results, every row succeeds."""

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pydantic import BaseModel

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from tests.conftest import Connect
from tests.support.tasks import TaskInstanceRecord, run_task

CATEGORIES = ["billing", "delivery", "other"]
TEXTS = [{"ticket": f"T{number}", "text": f"Ticket {number}: where is my parcel?"} for number in range(20)]


class Priority(Enum):
    HIGH = "high"
    LOW = "low"


class Ticket(BaseModel):
    priority: Priority
    summary: str
    minutes: int


def landed(
    sim: KimiSimulator, folder: Path, create: Mapping[str, Any], results: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rows that the operators land of twenty texts."""
    asked: dict[str, Any] = {"input": TEXTS, "key_column": "ticket", "model": "kimi-k2.6", "prompt": "{text}", **create}
    batch_ids = run_task(KimiCreateBatchOperator(task_id="create", **asked)).value
    sim.advance(3600)
    ti = TaskInstanceRecord(task_id="results")
    run_task(KimiBatchResultsOperator(task_id="results", batch_id=batch_ids, output=str(folder), **results), ti)
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_pydantic_model_of_the_users_own_fits_every_row(sim: KimiSimulator, hook: KimiHook, tmp_path: Path) -> None:
    rows = landed(sim, tmp_path, {"output_schema": Ticket}, {"output_schema": Ticket})
    assert [row["status"] for row in rows] == ["succeeded"] * 20
    assert all(Ticket.model_validate_json(json.dumps(row["parsed"])) for row in rows)
    assert len({row["content"] for row in rows}) > 10


@pytest.mark.parametrize(
    "system_prompt",
    [
        "Classify the ticket into one of billing, delivery, other.",
        "Answer with exactly one of: billing, delivery, other",
        'Reply with "billing", "delivery" or "other".',
        "从以下类别选择：billing、delivery、other",
    ],
)
def test_categories_of_the_users_own_fit_every_row(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, system_prompt: str
) -> None:
    rows = landed(sim, tmp_path, {"system_prompt": system_prompt}, {"output_schema": CATEGORIES})
    assert [row["status"] for row in rows] == ["succeeded"] * 20
    assert {row["parsed"] for row in rows} <= set(CATEGORIES)


def test_a_failed_task_names_the_commonest_mismatch_by_its_place_and_kind(connect: Connect, tmp_path: Path) -> None:
    def respond(line: Mapping[str, Any]) -> Answer:
        number = int(line["custom_id"][1:])
        value = {"priority": "SECRET", "summary": "SECRET", "minutes": number}
        return Answer(json.dumps(value if number > 4 else {**value, "priority": "low", "minutes": "SECRET"}))

    with KimiSimulator(speed=0, responder=respond) as sim:
        connect(sim)
        with pytest.raises(AirflowFailException) as failed:
            landed(sim, tmp_path, {}, {"output_schema": Ticket})
    reason = 'schema_mismatch, 15 of them: "priority" is not one of the values that it may be'
    assert f"most common error, 20 times: {reason}" in str(failed.value)
    assert "SECRET" not in str(failed.value)


def unlucky(row: Mapping[str, Any]) -> str | None:
    """A check of the user's own."""
    return "thirteen is unlucky" if row["custom_id"] == "T13" else None


def test_a_row_that_the_users_check_refuses_is_landed_as_invalid(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    rows = landed(sim, tmp_path, {"output_schema": Ticket}, {"output_schema": Ticket, "check": unlucky})
    invalid = [row for row in rows if row["status"] != "succeeded"]
    assert [(row["custom_id"], row["status"], row["error_code"], row["error_message"]) for row in invalid] == [
        ("T13", "invalid", "check", "thirteen is unlucky")
    ]
    (letter,) = (tmp_path / "dead_letter.jsonl").read_text().splitlines()
    assert json.loads(letter)["custom_id"] == "T13"


def test_a_check_is_refused_while_the_dag_is_parsed_if_it_is_not_a_function() -> None:
    with pytest.raises(ValueError, match="check is a str; it must be a function"):
        KimiBatchResultsOperator(task_id="results", batch_id="b", output="/tmp", check="{{ params.check }}")  # type: ignore[arg-type]


def test_a_check_is_neither_rendered_nor_shown_by_its_address() -> None:
    def check(row: Mapping[str, Any]) -> str | None:
        raise AssertionError("Airflow has called it")

    operator = KimiBatchResultsOperator(task_id="results", batch_id="b", output="/tmp", check=check)
    assert "check" not in operator.template_fields
    operator.render_template_fields({})
    assert "0x" not in repr(operator.check)
