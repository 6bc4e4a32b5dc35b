"""JSON Schemas reach the platform in its own dialect, and answers are judged by what the user gave."""

import datetime
import json
import uuid
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from airflow.providers.common.compat.sdk import DAG, task
from pydantic import BaseModel, Field

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator
from tests.architecture.modules import PACKAGE
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, spoiling, submit, write_jsonl
from tests.support.tasks import run_task, run_to_end


class Mood(Enum):
    """How somebody feels."""

    GOOD = "good"
    BAD = "bad"


class Review(BaseModel):
    kind: Literal["review"]
    label: Literal["positive", "negative"]
    note: str | None = None
    day: datetime.date | None = None
    mood: Mood = Field(default=Mood.GOOD, description="As far as it shows.")
    score: float = Field(default=0.5, gt=0, lt=1)


GIVEN = Review.model_json_schema()
ANSWER = {"kind": "review", "label": "positive", "day": "2026-05-01", "mood": "bad", "score": 0.25}
ANSWERS: dict[str, Any] = {
    "row-00000001": Answer(json.dumps(ANSWER)),
    "row-00000002": Answer(json.dumps({**ANSWER, "score": 1})),
    "row-00000003": Answer(json.dumps({**ANSWER, "day": "next week"})),
}
REFUSED: dict[str, Any] = {
    "type": "object",
    "properties": {"tags": {"type": "object", "patternProperties": {"^t": {"type": "string"}}}},
}
SAID = (
    "that Kimi does not take: at properties/tags: the keyword 'patternProperties' is not taken; name the fields in "
    "properties, or give them one form in additionalProperties"
)


def format_of(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}


def tool(parameters: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "note", "parameters": parameters}}


def sent_bodies(sim: KimiSimulator) -> list[dict[str, Any]]:
    found = []
    for batch in sim.batches.values():
        found += [json.loads(line)["body"] for line in sim.file_content(batch.input_file_id).splitlines()]
    return found


@pytest.mark.parametrize("level", ["strict", "ultra"])
def test_a_model_is_asked_for_in_the_dialect_and_judged_as_it_was_given(
    connect: Connect, tmp_path: Path, level: Any
) -> None:
    behaviour = Behaviour(schema_level=level)
    with KimiSimulator(speed=5000, behaviour=behaviour, responder=spoiling(ANSWERS)) as sim:
        connect(sim)
        job = KimiBatchOperator(
            task_id="job",
            deferrable=False,
            poke_interval=0.2,
            input=["a", "b", "c"],
            output=str(tmp_path),
            output_schema=Review,
        )
        run_to_end(job)
        rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
        assert [row["status"] for row in rows] == ["succeeded", "invalid", "invalid"]
        assert rows[0]["parsed"] == {**ANSWER, "note": None}
        asked = sent_bodies(sim)[0]["response_format"]["json_schema"]
        assert asked["name"] == "Review"
        assert asked["schema"] != GIVEN


@pytest.mark.parametrize("level", ["strict", "ultra"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"prompt": "{t}", "request_params": {"response_format": format_of(GIVEN), "tools": [tool(GIVEN)]}},
        {"body": {"messages": [{"role": "user", "content": "{t}"}], "response_format": format_of(GIVEN)}},
        {"body": {"messages": [{"role": "user", "content": "{t}"}], "tools": [tool(GIVEN)]}},
        {"body": lambda row: {"messages": [{"role": "user", "content": row["t"]}], "tools": [tool(GIVEN)]}},
    ],
    ids=["request_params", "body", "tools", "function"],
)
def test_schemas_of_parameters_are_sent_in_the_dialect(
    connect: Connect, tmp_path: Path, level: Any, parameters: dict[str, Any]
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(schema_level=level)) as sim:
        hook = connect(sim)
        submission = submit(hook, order([{"t": "a"}], **parameters), ATTEMPT, LogRecord())
        sim.advance(60)
        assert land(hook, tmp_path, submission.batch_ids).statuses == {"succeeded": 1}


def test_schemas_of_ready_requests_are_sent_in_the_dialect_and_all_else_as_it_is(
    connect: Connect, tmp_path: Path
) -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9000}
    with KimiSimulator(speed=0, behaviour=Behaviour(schema_level="ultra")) as sim:
        hook = connect(sim)
        ready = [request(f"r{n}", body={**body, "response_format": format_of(GIVEN)}) for n in range(3)]
        submission = submit(hook, order(write_jsonl(tmp_path / "in.jsonl", ready)), ATTEMPT, LogRecord())
        sim.advance(60)
        assert land(hook, tmp_path / "out", submission.batch_ids).statuses == {"succeeded": 3}
        for sent in sent_bodies(sim):
            assert {key: sent[key] for key in body} == body
            assert list(sent) == [*body, "response_format"]


def test_a_schema_that_the_platform_takes_is_sent_byte_for_byte(sim: KimiSimulator, hook: KimiHook) -> None:
    fine = {"required": ["a"], "properties": {"a": {"title": "A", "type": "string"}}, "type": "object"}
    submit(hook, order([{"t": "a"}], prompt="{t}", response_format=format_of(fine)), ATTEMPT, LogRecord())
    (batch,) = sim.batches.values()
    assert json.dumps(fine, separators=(",", ":")).encode() in sim.file_content(batch.input_file_id)


def test_a_second_try_attaches_to_a_job_whose_schema_was_written_anew(connect: Connect) -> None:
    with KimiSimulator(speed=0) as sim:
        connect(sim)
        create = KimiCreateBatchOperator(task_id="label", input=["a"], output_schema=Review)
        assert run_task(create).value == run_task(create).value
        assert len(sim.batches) == 1


def test_rows_that_are_asked_again_are_asked_with_the_same_schema(connect: Connect, tmp_path: Path) -> None:
    spoilt = {"row-00000001": Answer(json.dumps({**ANSWER, "score": 1})), "row-00000002": Answer(json.dumps(ANSWER))}
    behaviour = Behaviour(schema_level="ultra")
    with KimiSimulator(speed=5000, behaviour=behaviour, responder=spoiling(spoilt)) as sim:
        connect(sim)
        own: dict[str, Any] = {"output_schema": Review, "max_rounds": 2, "max_failed_rows": None}
        job = KimiBatchOperator(
            task_id="job", deferrable=False, poke_interval=0.2, input=["a", "b"], output=str(tmp_path), **own
        )
        run_to_end(job)
        formats = [json.dumps(body["response_format"]) for body in sent_bodies(sim)]
        assert len(sim.batches) == 2
        assert len(set(formats)) == 1


def test_dead_letters_are_asked_again_by_their_own_schema_and_judged_by_the_one_given(
    connect: Connect, tmp_path: Path
) -> None:
    first: dict[str, Any] = {"input": ["a", "b"], "output": str(tmp_path / "first"), "max_failed_rows": 2}
    letters = str(tmp_path / "first" / "dead_letter.jsonl")
    again: dict[str, Any] = {"input": letters, "output": str(tmp_path / "again"), "max_failed_rows": 2}
    spoilt = {"row-00000001": Answer(json.dumps({**ANSWER, "score": 1})), "row-00000002": Answer("{}")}
    with KimiSimulator(speed=5000, responder=spoiling(spoilt)) as sim:
        connect(sim)
        for task_id, own in (("first", first), ("again", again)):
            run_to_end(KimiBatchOperator(task_id=task_id, poke_interval=0.2, output_schema=Review, **own))
        formats = [json.dumps(body["response_format"]) for body in sent_bodies(sim)]
    assert len(formats) == 4
    assert len(set(formats)) == 1
    rows = [json.loads(line) for line in (tmp_path / "again" / "results.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["invalid", "invalid"]


@pytest.mark.parametrize("operator", [KimiCreateBatchOperator, KimiBatchOperator])
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"output_schema": REFUSED}, f"output_schema is a JSON Schema {SAID}"),
        (
            {"request_params": {"response_format": format_of(REFUSED)}},
            f"request_params has a JSON Schema in response_format {SAID}",
        ),
        (
            {"request_params": {"tools": [tool(GIVEN), tool(REFUSED)]}},
            f"request_params has a tool 2 with a JSON Schema {SAID}",
        ),
        ({"body": {"messages": [], "tools": [tool(REFUSED)]}}, f"body has a tool 1 with a JSON Schema {SAID}"),
    ],
    ids=["output_schema", "response_format", "tools", "body"],
)
def test_a_schema_that_cannot_be_written_is_refused_while_the_dag_is_parsed(
    operator: Any, parameters: dict[str, Any], said: str
) -> None:
    output = {"output": "/tmp/o"} if operator is KimiBatchOperator else {}
    with pytest.raises(ValueError, match="Kimi does not take") as refused:
        operator(task_id="t", input=["a"], **output, **parameters)
    assert (
        str(refused.value) == f"{said}. Nothing was sent. Correct it, or set parameter_check='off' to send it as it is."
    )
    operator(task_id="t", input=["a"], parameter_check="off", **output, **parameters)


def test_the_docs_have_the_message_of_a_refusal() -> None:
    with pytest.raises(ValueError, match="Kimi does not take") as refused:
        KimiCreateBatchOperator(task_id="t", input=["a"], output_schema=REFUSED)
    assert str(refused.value) in (PACKAGE.parent / "docs/when-it-does-not-work.md").read_text(encoding="utf-8")


def test_a_mapped_task_and_a_decorated_one_refuse_it_too(tmp_path: Path) -> None:
    @task.kimi_batch(output=str(tmp_path), output_schema=REFUSED)
    def rows() -> list[str]:
        return ["a"]

    with DAG("d", schedule=None):
        with pytest.raises(ValueError, match="Kimi does not take"):
            rows()
        mapped = KimiCreateBatchOperator.partial(task_id="m", output_schema=REFUSED).expand(input=[["a"], ["b"]])
    with pytest.raises(ValueError, match="Kimi does not take"):
        mapped.unmap({"input": ["a"]})


def test_the_results_may_be_judged_by_a_schema_that_cannot_be_sent(tmp_path: Path) -> None:
    KimiBatchResultsOperator(task_id="results", batch_id="b", output=str(tmp_path), output_schema=REFUSED)


def test_a_template_in_a_schema_is_judged_once_it_is_rendered(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim)
    schema = {"type": "object", "properties": {"a": {"type": "{{ kind }}"}}}
    create = KimiCreateBatchOperator(
        task_id="label", input=["a"], request_params={"response_format": format_of(schema)}
    )
    with pytest.raises(KimiInputError) as refused:
        run_task(create, kind="text")
    assert "request_params has a JSON Schema in response_format that Kimi does not take: at properties/a" in str(
        refused.value
    )
    assert "Nothing was sent" in str(refused.value)
    assert not sim.journal
    run_task(create, kind="string")
    assert len(sim.batches) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        {"body": lambda row: {"messages": [{"role": "user", "content": row["t"]}], "tools": [tool(REFUSED)]}},
        {
            "body": lambda row: {"messages": [{"role": "user", "content": row["t"]}]},
            "response_format": format_of(REFUSED),
        },
    ],
    ids=["made by it", "beside it"],
)
def test_a_function_whose_bodies_have_a_schema_that_cannot_be_written_sends_nothing(
    sim: KimiSimulator, hook: KimiHook, parameters: dict[str, Any]
) -> None:
    with pytest.raises(KimiInputError, match="Kimi does not take: at properties/tags") as refused:
        submit(hook, order([{"t": "a"}], **parameters), ATTEMPT, LogRecord())
    assert "Nothing was sent" in str(refused.value)
    assert "parameter_check='off'" in str(refused.value)
    assert not sim.journal


def test_a_ready_request_with_a_schema_that_cannot_be_written_is_named(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}], "tools": [tool(REFUSED)]}
    ready = write_jsonl(tmp_path / "in.jsonl", [request("r0"), request("r1", body=body)])
    with pytest.raises(
        KimiInputError, match=r"line 2 \(custom_id 'r1'\) has a tool 1 with a JSON Schema that Kimi does not take"
    ) as refused:
        submit(hook, order(ready), ATTEMPT, LogRecord())
    assert f"{SAID}; parameter_check='off' sends it as it is. Nothing was sent" in str(refused.value)
    submit(hook, order(ready, rules=ParameterRules("off")), ATTEMPT, LogRecord())
    assert sent_bodies(sim)[1] == body


def test_a_schema_is_sent_as_given_where_the_check_is_off(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim)
    run_task(KimiCreateBatchOperator(task_id="label", input=["a"], output_schema=Review, parameter_check="off"))
    assert sent_bodies(sim)[0]["response_format"]["json_schema"]["schema"] == GIVEN


def test_a_lifted_rule_sends_the_schema_of_that_key_as_given(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim)
    rules: dict[str, Any] = {"kimi-*": {"response_format": None}}
    run_task(KimiCreateBatchOperator(task_id="label", input=["a"], output_schema=REFUSED, parameter_rules=rules))
    assert sent_bodies(sim)[0]["response_format"]["json_schema"]["schema"] == REFUSED


def test_a_list_at_the_root_is_not_asked_for_even_by_reference(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim)
    listed = {"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"type": "string"}}}}
    run_task(KimiCreateBatchOperator(task_id="label", input=["a"], output_schema=listed))
    assert "response_format" not in sent_bodies(sim)[0]


def test_a_list_at_the_root_is_judged_also_if_it_could_not_be_sent(sim: KimiSimulator, connect: Connect) -> None:
    connect(sim)
    run_task(KimiCreateBatchOperator(task_id="label", input=["a"], output_schema={"type": "array", "items": REFUSED}))
    assert "response_format" not in sent_bodies(sim)[0]


class Narrow(BaseModel):
    day: datetime.date
    at: datetime.datetime | None
    lasts: datetime.timedelta = Field(description="How long.")
    id: uuid.UUID
    code: str = Field(pattern=r"^[A-Z]{3}\.\d$", max_length=5)
    share: float = Field(gt=0, lt=1)
    step: int = Field(ge=2, multiple_of=7)
    large: int = Field(ge=2**60)
    pair: tuple[int, str]
    scored: tuple[Mood, float, bool | None]
    tags: set[Literal["a", "b", "c"]] = Field(min_length=2)
    counts: dict[str, int] = Field(min_length=1)
    note: Decimal


def test_the_simulator_reads_what_a_description_says_as_a_model_does(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=5) as sim:
        connect(sim)
        rows = [f"row {number}" for number in range(20)]
        run_to_end(
            KimiBatchOperator(task_id="job", poke_interval=0.2, input=rows, output=str(tmp_path), output_schema=Narrow)
        )
        landed = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
        assert [row["error_message"] for row in landed] == [None] * 20


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


def test_a_recursive_model_is_asked_for_and_used_as_a_tool(connect: Connect, tmp_path: Path) -> None:
    own = Tree.model_json_schema()
    assert "$ref" in own
    with KimiSimulator(speed=0, behaviour=Behaviour(schema_level="ultra")) as sim:
        hook = connect(sim)
        parameters = {"tools": [tool(own)], "response_format": format_of(own)}
        submission = submit(hook, order(["a"], request_params=parameters), ATTEMPT, LogRecord())
        sim.advance(60)
        assert land(hook, tmp_path, submission.batch_ids).statuses == {"succeeded": 1}


def test_a_tool_with_a_choice_at_its_root_is_refused() -> None:
    branches = [{"type": "object", "properties": {name: {"type": "string"}}} for name in "ab"]
    choice = {"anyOf": branches}
    with pytest.raises(ValueError, match="at its root: the parameters are not an object; wrap them in an object"):
        KimiCreateBatchOperator(task_id="t", input=["a"], request_params={"tools": [tool(choice)]})
