"""Conversations in which tools were called, from each form of an input to the landed row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, write_jsonl

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "TOPSECRET"}'}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "TOPSECRET"}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
FORGOTTEN = (
    "has a message 2 that calls tools and has no reasoning_content, which the platform refuses while the model thinks; "
    "give the one that came with the answer, or turn thinking off"
)


def history(**answer: Any) -> list[dict[str, Any]]:
    """A conversation in which the answer to the first message called a tool."""
    called = {"role": "assistant", "content": "", "tool_calls": [CALL], **answer}
    return [{"role": "user", "content": "TOPSECRET"}, called, RESULT]


GOOD, BAD = history(reasoning_content="TOPSECRET"), history()


def ready(messages: object) -> dict[str, Any]:
    return request("bad" if messages is BAD else "good", body={"model": "kimi-k2.6", "messages": messages})


#: Each way of asking with two rows, of which the second forgets its reasoning; the place and the name of that.
FORMS: dict[str, tuple[Callable[[Path], Order], str]] = {
    "a list of chats": (lambda _: order([GOOD, BAD]), "element 2"),
    "a function that makes messages": (
        lambda _: order(
            [{"id": "good", "talk": GOOD}, {"id": "bad", "talk": BAD}],
            messages=lambda row: row["talk"],
            key_column="id",
        ),
        "element 2 (custom_id 'bad')",
    ),
    "a function that makes a body": (
        lambda _: order(
            [{"id": "good", "talk": GOOD}, {"id": "bad", "talk": BAD}],
            body=lambda row: {"messages": row["talk"], "tools": TOOLS},
            key_column="id",
        ),
        "element 2 (custom_id 'bad')",
    ),
    "ready requests": (lambda _: order([ready(GOOD), ready(BAD)]), "element 2 (custom_id 'bad')"),
    "a file of ready requests": (
        lambda folder: order(write_jsonl(folder / "in.jsonl", [ready(GOOD), ready(BAD)])),
        "line 2 (custom_id 'bad')",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_history_without_its_reasoning_is_refused_before_anything_is_sent(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, form: str
) -> None:
    wanted, place = FORMS[form]
    with pytest.raises(KimiInputError) as caught:
        submit(hook, wanted(tmp_path), ATTEMPT, LogRecord())
    assert f"1 problem: {place} {FORGOTTEN}. Nothing was sent." in str(caught.value)
    assert "TOPSECRET" not in str(caught.value)
    assert not sim.journal


def test_a_history_in_the_parameter_messages_is_refused_likewise(sim: KimiSimulator, hook: KimiHook) -> None:
    talk = [*history(tool_calls=[{"id": "c1"}]), {"role": "user", "content": "{text}"}]
    with pytest.raises(
        KimiInputError, match=r"element 1 has a message 2 that calls tools and has no reasoning_content"
    ):
        submit(hook, order([{"text": "a"}], messages=talk), ATTEMPT, LogRecord())
    assert not sim.journal


def test_a_row_without_its_reasoning_may_be_left_out_and_comes_back_in_its_place(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    wanted = order([ready(BAD), ready(GOOD)], on_invalid_row="skip")
    ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    rows = land(hook, tmp_path, ids).rows()
    assert [(row["custom_id"], row["status"]) for row in rows] == [("bad", "invalid"), ("good", "succeeded")]
    assert rows[0]["error_message"] == f"element 1 was left out, because it {FORGOTTEN}"


@pytest.mark.parametrize(
    "changes",
    [{"thinking": "disabled"}, {"request_params": {"thinking": {"type": "disabled"}, "tools": TOOLS}}],
    ids=["by thinking", "by request_params"],
)
def test_a_history_without_its_reasoning_is_answered_where_the_model_does_not_think(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, changes: dict[str, Any]
) -> None:
    ids = submit(hook, order([GOOD, BAD], **changes), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    assert land(hook, tmp_path, ids).statuses == {"succeeded": 2}


def test_a_history_without_its_reasoning_that_is_sent_all_the_same_is_a_failed_row(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """What the check saves: the platform answers 400 for this row, in a batch that was waited for."""
    ids = submit(hook, order([GOOD, BAD], rules=ParameterRules("off")), ATTEMPT, LogRecord()).batch_ids
    sim.advance(60)
    good, bad = land(hook, tmp_path, ids).rows()
    assert (good["status"], bad["status"]) == ("succeeded", "failed")
    assert bad["error_message"] == (
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1"
    )


def test_a_model_that_always_thinks_is_not_said_to_let_thinking_be_turned_off(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    with pytest.raises(KimiInputError, match="give the one that came with the answer; this model always thinks"):
        submit(hook, order([BAD], model="kimi-k2.7-code"), ATTEMPT, LogRecord())
    assert not sim.journal


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        pytest.param(GOOD[:2], "has a message 2 that calls tools, and not right behind it a message", id="no result"),
        pytest.param(
            [GOOD[0], RESULT],
            "has a message 2 with the result of a tool, and its tool_call_id is of no call",
            id="no call",
        ),
        pytest.param(
            [GOOD[0], {"role": "tool", "content": "x"}], "has a message 2 with the result of a tool", id="plain texts"
        ),
        pytest.param([GOOD[0], {"role": "assistant", "content": ""}], "has an empty content in message 2", id="empty"),
    ],
)
def test_calls_without_results_and_results_without_calls_are_refused(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, messages: list[Any], said: str
) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [ready(GOOD), ready(messages) | {"custom_id": "bad"}])
    with pytest.raises(KimiInputError) as caught:
        submit(hook, order(path), ATTEMPT, LogRecord())
    assert f"line 2 (custom_id 'bad') {said}" in str(caught.value)
    assert not sim.journal


@pytest.mark.parametrize("mode", ["fail", "drop"])
@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([{"type": "function", "function": {"name": "2nd"}}], "has a tool 1 whose function.name is not a letter, then"),
        (TOOLS * 2, "has a tool 2 with the name of tool 1; each needs its own"),
    ],
)
class TestTools:
    def test_tools_in_request_params_are_refused(
        self, sim: KimiSimulator, hook: KimiHook, mode: Any, tools: object, said: str
    ) -> None:
        wanted = order(["hi"], request_params={"tools": tools}, rules=ParameterRules(mode))
        with pytest.raises(KimiInputError, match=f"^request_params {said}"):
            submit(hook, wanted, ATTEMPT, LogRecord())
        assert not sim.journal

    def test_tools_of_single_rows_are_refused_by_row(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path, mode: Any, tools: object, said: str
    ) -> None:
        body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
        rows = [request("a", body=body), request("b", body={**body, "tools": tools})]
        for source in (rows, write_jsonl(tmp_path / "in.jsonl", rows)):
            with pytest.raises(KimiInputError, match=rf"2 \(custom_id 'b'\) {said}"):
                submit(hook, order(source, rules=ParameterRules(mode)), ATTEMPT, LogRecord())
        wanted = order([{"tools": tools}], body=lambda row: {**body, **row}, rules=ParameterRules(mode))
        with pytest.raises(KimiInputError, match=said):
            submit(hook, wanted, ATTEMPT, LogRecord())
        assert not sim.journal

    def test_tools_that_are_sent_all_the_same_cost_every_row(
        self, sim: KimiSimulator, hook: KimiHook, tmp_path: Path, mode: Any, tools: object, said: str
    ) -> None:
        wanted = order(["a", "b"], request_params={"tools": tools}, rules=ParameterRules("off"))
        ids = submit(hook, wanted, ATTEMPT, LogRecord()).batch_ids
        sim.advance(60)
        rows = land(hook, tmp_path, ids).rows()
        assert [row["status"] for row in rows] == ["failed", "failed"]
        assert all(row["error_message"].startswith("function name ") for row in rows)
