"""What rows hold is data: it arrives byte for byte, or the row is refused by name; never is it run or cut."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, submit
from tests.support.tasks import run_task

pytestmark = pytest.mark.usefixtures("hook")

PIECES = (
    "{{ conn.kimi_default.password }}",
    "{% raw %}",
    "{% for x in y %}",
    "{#",
    "{",
    "}}",
    "{text}",
    "{0.__class__}",
    "%(key)s",
    "\x00",
    "\u2028",
    "\u2029",
    "\x85",
    "\r",
    "\n",
    "👩‍👩‍👧",
    "\u202eevil",
    "\u200f",
    "\ufeff",
    "\\",
    '"',
    "ms://kimi-media-" + "0" * 64,
)


def hostile_texts(count: int) -> list[str]:
    """Mixtures of everything that was ever taken for something else; five of them of a megabyte."""
    chance = random.Random(53)
    texts = ["".join(chance.choices(PIECES, k=chance.randint(1, 12))) + f" {number}" for number in range(count)]
    for number in range(0, count, count // 5):
        texts[number] = (PIECES[number % len(PIECES)] + "字") * (1_000_000 // (len(PIECES[number % len(PIECES)]) + 3))
    return texts


def sent_texts(sim: KimiSimulator) -> list[str]:
    (batch,) = sim.batches.values()
    lines = [line for line in sim.file_content(batch.input_file_id).split(b"\n") if line]
    return [json.loads(line)["body"]["messages"][-1]["content"] for line in lines]


def test_a_thousand_hostile_rows_of_a_jsonl_table_arrive_byte_for_byte(sim: KimiSimulator, tmp_path: Path) -> None:
    texts = hostile_texts(1000)
    table = tmp_path / "rows.jsonl"
    table.write_bytes(b"".join(msgspec.json.encode({"text": text}) + b"\n" for text in texts))
    run_task(KimiCreateBatchOperator(task_id="create", input=str(table), prompt="Say: {text}"))
    assert sent_texts(sim) == [f"Say: {text}" for text in texts]


def test_a_thousand_hostile_rows_of_a_parquet_table_arrive_byte_for_byte(sim: KimiSimulator, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    texts = hostile_texts(1000)
    table = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": texts}), table)
    run_task(KimiCreateBatchOperator(task_id="create", input=str(table), prompt="{text}"))
    assert sent_texts(sim) == texts


def test_a_thousand_hostile_rows_arrive_as_json_that_reads_the_same_where_they_are_nested(sim: KimiSimulator) -> None:
    nested = [{text: [text, {"deep": (text,)}]} for text in hostile_texts(1000)]
    run_task(
        KimiCreateBatchOperator(task_id="create", input=lambda: [{"text": value} for value in nested], prompt="{text}")
    )
    assert [json.loads(text) for text in sent_texts(sim)] == [
        {text: [text, {"deep": [text]}]} for text in hostile_texts(1000)
    ]


def test_a_thousand_hostile_rows_of_a_function_arrive_byte_for_byte(sim: KimiSimulator) -> None:
    texts = hostile_texts(1000)
    run_task(KimiCreateBatchOperator(task_id="create", input=lambda: iter(texts)))
    assert sent_texts(sim) == texts


def test_a_thousand_hostile_rows_of_a_ready_file_arrive_byte_for_byte(sim: KimiSimulator, tmp_path: Path) -> None:
    bodies = [{"model": "kimi-k2.6", "messages": [{"role": "user", "content": t}]} for t in hostile_texts(1000)]
    lines = [json.dumps(request(f"r{n}", body=body)).encode() for n, body in enumerate(bodies)]
    ready = tmp_path / "rows.jsonl"
    ready.write_bytes(b"\n".join(lines))
    run_task(KimiCreateBatchOperator(task_id="create", input=str(ready)))
    (batch,) = sim.batches.values()
    assert sim.file_content(batch.input_file_id) == b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("half", ["\ud83d", "x\udc00y"])
def test_half_a_character_in_a_list_is_refused_by_name(sim: KimiSimulator, hook: KimiHook, half: str) -> None:
    rows = [{"id": "good", "text": "fine"}, {"id": "bad", "text": half}]
    with pytest.raises(KimiInputError, match=r"element 2 \(custom_id 'bad'\) holds half a character"):
        submit(hook, order(rows, prompt="{text}", key_column="id"), ATTEMPT, LogRecord())
    assert not sim.journal


@pytest.mark.parametrize("line", [b'{"text": "\\ud83d"}', b'{"text": "\xed\xa0\xbd"}', b'{"text": NaN}'])
def test_what_json_cannot_hold_is_refused_by_its_line_in_a_table(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path, line: bytes
) -> None:
    table = tmp_path / "rows.jsonl"
    table.write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    with pytest.raises(KimiInputError, match="line 2 is not"):
        submit(hook, order(str(table), prompt="{text}"), ATTEMPT, LogRecord())
    assert not sim.journal


def test_what_json_cannot_hold_is_refused_by_its_line_in_a_ready_file(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    ready = tmp_path / "rows.jsonl"
    lines: list[Any] = [json.dumps(request("a")), json.dumps(request("b")).replace("hi", "\\udfff")]
    ready.write_text("\n".join(lines))
    with pytest.raises(KimiInputError, match="line 2 is not valid JSON"):
        submit(hook, order(str(ready)), ATTEMPT, LogRecord())
    assert not sim.journal
