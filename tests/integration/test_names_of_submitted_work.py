"""What a batch is named by stays the same from release to release, so that a retry after an upgrade finds its work."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit, write_jsonl
from tests.support.tasks import TaskInstanceRecord, run_task

#: For each case below, the metadata of its batches and the names of its files, as version 0.1.0 wrote them.
STORED = json.loads((Path(__file__).parent / "golden" / "submitted.json").read_text(encoding="utf-8"))

#: Tags that name no work, or hold an id of the platform's.
VARYING = {
    *("airflow_dag_id", "airflow_run_id", "airflow_task_id", "airflow_map_index"),
    *("kimi_provider_version", "kimi_skipped_file", "kimi_create", "kimi_note_file", "kimi_recipe", "kimi_recipe_2"),
}

PNG = b"\x89PNG\r\n\x1a\n of the tests"
TABLE = [{"id": "a", "day": 1, "text": "很好", "score": 0.5}, {"id": "b c", "day": 2, "text": "bad {x}", "score": 1}]
TALK = [
    {"role": "system", "content": "About {day}."},
    {"role": "user", "content": [{"type": "text", "text": "{text}"}]},
]
ANSWER = {"title": "Label", "type": "object", "properties": {"label": {"type": "string"}}}
SCHEMA = read_schema(ANSWER)
RESPONSE_FORMAT = SCHEMA.response_format if SCHEMA else None
PARAMETERS: dict[str, Any] = {"request_params": {"user": "u", "max_completion_tokens": 5000}, "thinking": "disabled"}


def messages_of(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["text"]}]


def body_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": messages_of(row), "max_completion_tokens": 5000}


#: A task for each way of asking, and for each parameter that is part of a name.
CASES: dict[str, dict[str, Any]] = {
    "prompts": {"source": ["hi", "{x}"]},
    "prompts and a system prompt": {"source": ["hi", "{x}"], "system_prompt": "S {x}"},
    "chats": {"source": [messages_of(row) for row in TABLE], "system_prompt": "S"},
    "requests in a list": {"source": [request("a"), {**request("b"), "note": "é"}]},
    "prompts beside requests": {"source": ["hi", request("b")]},
    "a prompt": {"source": TABLE, "prompt": "Q {text}"},
    "a prompt and a system prompt": {"source": TABLE, "prompt": "Q {text} {score:.2f}", "system_prompt": "S {day}"},
    "messages": {"source": TABLE, "messages": TALK},
    "messages and a system prompt": {"source": TABLE, "messages": TALK[1:], "system_prompt": "S {day}"},
    "a function of messages": {"source": TABLE, "messages": messages_of, "system_prompt": "S {day}"},
    "a body": {"source": TABLE, "body": {"user": "{id}", "messages": TALK}, "request_params": {"stop": ["x"]}},
    "a function of bodies": {"source": TABLE, "body": body_of, "thinking": "enabled"},
    "a key column": {"source": TABLE, "prompt": "{text}", "key_column": "id"},
    "key columns": {"source": TABLE, "prompt": "{text}", "key_column": ["day", "id"]},
    "parameters": {"source": TABLE, "prompt": "{text}", "response_format": RESPONSE_FORMAT, **PARAMETERS},
    "a parameter that is dropped": {
        "source": TABLE,
        "prompt": "{text}",
        "request_params": {"top_p": 1, "user": "u"},
        "rules": ParameterRules("drop"),
    },
    "a model and tags": {"source": TABLE, "prompt": "{text}", "model": "kimi-k2.7-code", "metadata": {"team": "data"}},
    "several batches": {"source": TABLE, "prompt": "{text}", "max_rows_per_batch": 1},
    "rows that are left out": {"source": [*TABLE, {"text": None}], "prompt": "{text}", "on_invalid_row": "skip"},
    "images in requests": {
        "source": [{**TABLE[0], "photo": PNG}],
        "prompt": "{text}",
        "media_columns": {"photo": "image"},
    },
    "images that are uploaded": {
        "source": [{**TABLE[0], "photo": PNG}],
        "prompt": "{text}",
        "media_columns": {"photo": "image"},
        "media": "upload",
    },
}


def names_of(sim: KimiSimulator, hook: KimiHook) -> dict[str, Any]:
    """What a later attempt finds the batches, and their files, by."""
    every = sorted((batch.metadata or {} for batch in sim.batches.values()), key=lambda pairs: pairs["kimi_shard"])
    tags = [{key: value for key, value in pairs.items() if key not in VARYING} for pairs in every]
    return {"tags": tags, "files": sorted(str(file.filename) for file in hook.list_files())}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_bears_the_names_of_an_earlier_version(sim: KimiSimulator, hook: KimiHook, case: str) -> None:
    submit(hook, order(**CASES[case]), ATTEMPT, LogRecord())
    assert names_of(sim, hook) == STORED[case]


def test_a_batch_of_a_file_of_requests_bears_the_names_of_an_earlier_version(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [request("a"), {**request("b"), "note": "é"}])
    submit(hook, order(source), ATTEMPT, LogRecord())
    assert names_of(sim, hook) == STORED["a file of requests"]


def test_a_batch_of_the_operator_bears_the_names_of_an_earlier_version(sim: KimiSimulator, hook: KimiHook) -> None:
    ti = TaskInstanceRecord(ATTEMPT.task.task_id, ATTEMPT.task.dag_id, ATTEMPT.task.run_id)
    operator = KimiCreateBatchOperator(
        task_id=ti.task_id, input=TABLE, prompt="{text}", output_schema=ANSWER, **PARAMETERS
    )
    run_task(operator, ti)
    assert names_of(sim, hook) == STORED["parameters"]
