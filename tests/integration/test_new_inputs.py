"""Inputs, messages, bodies and keys of every kind, from the operator to the results."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.requests import LABELS, request
from tests.support.tasks import Attempt, run_task

pytestmark = pytest.mark.usefixtures("hook")

QUESTION = "Is it positive or negative? {text}"


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", **parameters))


def uploaded(sim: KimiSimulator) -> list[Any]:
    """The lines of the one uploaded input file."""
    (file_id,) = sim.file_ids("batch")
    return [json.loads(line) for line in sim.file_content(file_id).split(b"\n") if line]


def results(sim: KimiSimulator, folder: Path, created: Attempt, **parameters: Any) -> list[dict[str, Any]]:
    """Bring the batches to their end, and land them."""
    sim.advance(60)
    run_task(
        KimiBatchResultsOperator(task_id="results", batch_id=created.value, output=str(folder / "out"), **parameters)
    )
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_bytes().split(b"\n") if line]


def rows() -> list[dict[str, Any]]:
    return [{"text": "很好", "n": 1}, {"text": "太差", "n": 2}]


def yielded_rows() -> Iterator[dict[str, Any]]:
    yield from rows()


def large_rows() -> Iterator[dict[str, Any]]:
    for number in range(3):
        yield {"text": "x" * 600_000, "n": number}


@pytest.mark.parametrize("source", [rows, yielded_rows, lambda: iter(rows())], ids=["list", "generator", "iterator"])
def test_a_function_gives_the_rows_of_an_input(sim: KimiSimulator, tmp_path: Path, source: Any) -> None:
    created = create(input=source, prompt=QUESTION)
    assert created.ti.xcoms["request_count"] == 2
    landed = results(sim, tmp_path, created, input=source)
    assert [(row["n"], row["text"], row["content"]) for row in landed] == [
        (1, "很好", "positive"),
        (2, "太差", "negative"),
    ]


def test_a_function_may_give_more_than_a_list_may_hold(sim: KimiSimulator) -> None:
    create(input=large_rows, prompt="{text}")
    assert len(uploaded(sim)) == 3


def test_a_function_may_give_prompts_chats_and_requests(sim: KimiSimulator) -> None:
    chat = [{"role": "user", "content": "b"}]
    create(input=lambda: ["a", chat, request("c")])
    assert [line["custom_id"] for line in uploaded(sim)] == ["row-00000001", "row-00000002", "c"]
    assert uploaded(sim)[1]["body"]["messages"] == chat


def test_a_function_is_called_again_in_every_attempt(sim: KimiSimulator) -> None:
    operator = KimiCreateBatchOperator(task_id="create", input=yielded_rows, prompt="{text}")
    assert run_task(operator).value == run_task(operator).value
    assert len(sim.batches) == 1


def test_a_function_that_gives_nothing_is_an_empty_input(sim: KimiSimulator) -> None:
    with pytest.raises(AirflowFailException, match="is empty. Nothing was sent."):
        create(input=list)
    assert sim.journal == []


def test_a_function_that_returns_no_rows_is_refused(sim: KimiSimulator) -> None:
    with pytest.raises(AirflowFailException, match="input is a function that returned a dict. Nothing was sent."):
        create(input=lambda: {"text": "a"}, prompt="{text}")
    assert sim.journal == []


def test_messages_as_a_list_are_templates(sim: KimiSimulator) -> None:
    few_shots = [
        {"role": "user", "content": "Great"},
        {"role": "assistant", "content": "positive"},
        {"role": "user", "content": "{text} {{{{ as is }}}} #{n:03d}"},
    ]
    create(input=rows, messages=few_shots, system_prompt="Language: {text}")
    messages = uploaded(sim)[0]["body"]["messages"]
    assert messages == [
        {"role": "system", "content": "Language: 很好"},
        *few_shots[:2],
        {"role": "user", "content": "很好 {{ as is }} #001"},
    ]


def test_messages_as_a_function_are_made_from_the_row(sim: KimiSimulator, tmp_path: Path) -> None:
    def ask(row: Mapping[str, Any]) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"{{{{ {row['text']}"}]

    created = create(input=rows, messages=ask, system_prompt=LABELS)
    assert uploaded(sim)[0]["body"]["messages"] == [
        {"role": "system", "content": LABELS},
        {"role": "user", "content": "{{ 很好"},
    ]
    assert [row["content"] for row in results(sim, tmp_path, created)] == ["positive", "negative"]


def test_an_error_of_a_function_of_messages_names_the_row_and_the_line_and_none_of_the_data(sim: KimiSimulator) -> None:
    def ask(row: Mapping[str, Any]) -> str:
        raise KeyError(row["text"])

    with pytest.raises(AirflowFailException) as caught:
        create(input=rows, messages=ask)
    assert "element 1 makes messages raise KeyError in line " in str(caught.value)
    assert "of test_new_inputs.py" in str(caught.value)
    assert "很好" not in str(caught.value)
    assert sim.journal == []


TOOLS = [{"type": "function", "function": {"name": "save", "parameters": {"type": "object", "title": "{as is}"}}}]
BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Answer in JSON, positive or negative: {text}"}],
    "response_format": {"type": "json_object"},
    "tools": TOOLS,
    "thinking": {"type": "disabled"},
}


def test_a_body_as_a_template_keeps_all_but_its_messages_unchanged(sim: KimiSimulator, tmp_path: Path) -> None:
    created = create(input=rows, body=BODY, request_params={"max_completion_tokens": 64})
    assert uploaded(sim)[1]["body"] == {
        **BODY,
        "model": "kimi-k2.6",
        "max_completion_tokens": 64,
        "messages": [{"role": "user", "content": "Answer in JSON, positive or negative: 太差"}],
    }
    assert [json.loads(row["content"]) for row in results(sim, tmp_path, created)] == [
        {"label": "positive"},
        {"label": "negative"},
    ]


def test_a_body_of_a_function_is_sent_unchanged(sim: KimiSimulator) -> None:
    def body(row: Mapping[str, Any]) -> dict[str, Any]:
        asked = [{"role": "user", "content": f"Answer in JSON: {row['text']}"}]
        return {**BODY, "messages": asked, "max_completion_tokens": 5000 + row["n"]}

    create(input=rows, body=body)
    assert [line["body"]["max_completion_tokens"] for line in uploaded(sim)] == [5001, 5002]
    assert uploaded(sim)[0]["body"]["tools"] == TOOLS


def test_a_body_that_breaks_a_rule_is_refused_by_its_row(sim: KimiSimulator) -> None:
    def body(row: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": "hi"}], **({"top_p": 0.5} if row["n"] == 2 else {})}

    with pytest.raises(AirflowFailException, match="element 2 sets 'top_p'"):
        create(input=rows, body=body)
    assert sim.journal == []


ODD_KEYS: list[Any] = [7, "plain-1", "two words", "名字/1", "k" * 300, "a:b", "", " lead"]


def test_long_odd_and_numeric_keys_come_back_unchanged(sim: KimiSimulator, tmp_path: Path) -> None:
    table = [{"key": key, "text": "很好"} for key in ODD_KEYS if key]
    created = create(input=table, prompt=QUESTION, key_column="key")
    sent = [line["custom_id"] for line in uploaded(sim)]
    assert sent[:2] == ["7", "plain-1"]
    assert all(len(custom_id) <= 64 and custom_id.isascii() for custom_id in sent)
    landed = results(sim, tmp_path, created, input=table, key_column="key")
    assert [row["key"] for row in landed] == [key for key in ODD_KEYS if key]
    assert [row["custom_id"] for row in landed] == sent
    assert {row["content"] for row in landed} == {"positive"}


def test_keys_of_several_columns_are_one_name(sim: KimiSimulator, tmp_path: Path) -> None:
    table = [{"day": day, "shop": shop, "text": "很好"} for day in (1, 2) for shop in ("a", "a:2", "店")]
    created = create(input=table, prompt=QUESTION, key_column=["day", "shop"])
    assert uploaded(sim)[0]["custom_id"] == "1:a"
    landed = results(sim, tmp_path, created, input=table, key_column=["day", "shop"])
    assert [(row["day"], row["shop"]) for row in landed] == [(row["day"], row["shop"]) for row in table]


def test_keys_that_are_equal_once_joined_still_differ(sim: KimiSimulator) -> None:
    create(input=[{"a": "x:y", "b": "z"}, {"a": "x", "b": "y:z"}], prompt="{a}", key_column=["a", "b"])
    assert len({line["custom_id"] for line in uploaded(sim)}) == 2


def test_an_empty_key_is_refused(sim: KimiSimulator) -> None:
    with pytest.raises(AirflowFailException, match="element 1 has an empty key in column 'key'"):
        create(input=[{"key": "", "text": "a"}], prompt="{text}", key_column="key")
    assert sim.journal == []
