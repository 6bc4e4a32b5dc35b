"""The chain and the one task against servers of the batch format that nobody here wrote."""

import io
import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiApiError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from tests.peers.conftest import Place
from tests.peers.facts import FACTS, content_of, facts_of
from tests.support.relay import Relay
from tests.support.requests import request
from tests.support.tasks import TaskInstanceRecord, run_task, run_to_end

pytestmark = pytest.mark.peers

#: Rows that a model with fixed answers knows, and one that it does not.
TEXTS = {"r0": "I liked it", "r1": "I hated it", "r2": "liked, all of it", "r3": "It rained"}

#: No row needs an answer: one peer gives none.
ASKED: dict[str, Any] = {"prompt": "Positive or negative? {text}", "key_column": "id"}
ALL_MAY_FAIL: dict[str, Any] = {"max_failed_ratio": 1.0}


def reviews(folder: Path) -> str:
    table = folder / "reviews.jsonl"
    table.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in TEXTS.items()))
    return str(table)


def a_run(task_id: str = "label", try_number: int = 1) -> TaskInstanceRecord:
    """A task instance of a run that no peer has seen."""
    return TaskInstanceRecord(task_id, run_id=uuid4().hex, try_number=try_number, max_tries=2)


def creates(relay: Relay) -> int:
    return relay.requests.count("POST /v1/batches")


def rows_of(folder: Path) -> dict[str, Any]:
    lines = (folder / "results.jsonl").read_text().splitlines()
    return {row["custom_id"]: row for row in map(json.loads, lines)}


def check_rows(place: Place, folder: Path) -> None:
    """Each row has the answer to its own text, beside its own columns."""
    rows = rows_of(folder)
    assert list(rows) == list(TEXTS)
    for key, text in TEXTS.items():
        assert rows[key]["text"] == text
        assert (rows[key]["status"], rows[key]["content"]) == place.peer.answer(text)
        assert bool(rows[key]["error_message"]) == (rows[key]["status"] == "failed")


def ended(hook: KimiHook, batch_id: str) -> Batch:
    end = time.monotonic() + 60
    while not (batch := hook.get_batch(batch_id)).is_terminal:
        assert time.monotonic() < end, batch.status
        time.sleep(0.2)
    return batch


def test_three_tasks_land_each_row_beside_its_own_answer(place: Place, relay: Relay, tmp_path: Path) -> None:
    table, ti = reviews(tmp_path), a_run()
    ids = run_task(KimiCreateBatchOperator(task_id="label", input=table, **ASKED), ti).value
    assert run_to_end(KimiBatchSensor(task_id="wait", batch_id=ids, poke_interval=0.3)).value == ids
    results = KimiBatchResultsOperator(
        task_id="land", batch_id=ids, input=table, output=str(tmp_path / "out"), key_column="id", **ALL_MAY_FAIL
    )
    manifest = run_task(results).value
    check_rows(place, tmp_path / "out")
    assert (manifest["batch_ids"], manifest["counts"]["total"], creates(relay)) == (ids, len(TEXTS), 1)


def test_the_one_task_lands_the_same_rows(place: Place, relay: Relay, tmp_path: Path) -> None:
    job = KimiBatchOperator(
        task_id="job",
        input=reviews(tmp_path),
        output=str(tmp_path / "out"),
        poke_interval=0.3,
        **ASKED,
        **ALL_MAY_FAIL,
    )
    manifest = run_to_end(job, a_run("job")).value
    check_rows(place, tmp_path / "out")
    assert (manifest["counts"]["total"], creates(relay)) == (len(TEXTS), 1)


def test_a_retry_creates_no_second_batch(place: Place, relay: Relay, tmp_path: Path) -> None:
    create, first = KimiCreateBatchOperator(task_id="label", input=reviews(tmp_path), **ASKED), a_run()
    ids = run_task(create, first).value
    again = TaskInstanceRecord(first.task_id, run_id=first.run_id, try_number=2, max_tries=2)
    assert run_task(create, again).value == ids
    assert creates(relay) == 1


def test_a_model_that_is_not_offered_is_refused_before_anything_is_sent(
    place: Place, relay: Relay, tmp_path: Path
) -> None:
    """Of a server that lists no models, nothing is known."""
    offers = KimiHook().list_models()
    create = KimiCreateBatchOperator(task_id="label", input=reviews(tmp_path), model="kimi-k0", **ASKED)
    if not offers:
        assert len(run_task(create, a_run()).value) == 1
        return
    with pytest.raises(KimiInputError, match=r"'kimi-k0' is not among .* Nothing was sent"):
        run_task(create, a_run())
    assert not [sent for sent in relay.requests if sent.startswith("POST")]


def test_a_cancel_ends_a_batch_or_finds_that_it_has_ended(place: Place, hook: KimiHook, tmp_path: Path) -> None:
    ids = run_task(KimiCreateBatchOperator(task_id="label", input=reviews(tmp_path), **ASKED), a_run()).value
    cancelled = run_to_end(KimiCancelBatchOperator(task_id="cancel", batch_id=ids)).value
    assert cancelled == {ids[0]: ended(hook, ids[0]).status}
    assert cancelled[ids[0]] in ("cancelled", "completed")
    assert run_to_end(KimiCancelBatchOperator(task_id="cancel", batch_id=ids)).value == cancelled, "it has ended"


def test_files_of_an_ended_batch_are_deleted(place: Place, hook: KimiHook, tmp_path: Path) -> None:
    ti = a_run()
    ids = run_task(KimiCreateBatchOperator(task_id="label", input=reviews(tmp_path), **ASKED), ti).value
    ended(hook, ids[0])
    inputs = ti.xcoms["input_file_ids"]
    assert run_task(KimiDeleteFilesOperator(task_id="delete", file_id=inputs)).value == inputs
    assert not {file.id for file in hook.list_files()} & set(inputs)


def test_the_test_of_the_connection_passes_though_there_is_no_balance(place: Place, hook: KimiHook) -> None:
    works, sentences = hook.test_connection()
    assert works, sentences
    assert "not readable" in sentences


def test_a_refused_call_is_named_and_the_next_one_of_the_same_hook_is_answered(place: Place, hook: KimiHook) -> None:
    for _ in range(3):
        with pytest.raises(KimiApiError) as refused:
            hook.get_batch("3958f027-a1ed-47a5-8434-3b9745ba27d0")
        assert refused.value.status_code == 404
        assert hook.list_batches(limit=1).data is not None


def test_the_table_says_what_the_peer_does_otherwise(place: Place, hook: KimiHook) -> None:
    asked = request("a", body={"model": place.peer.model, "messages": [{"role": "user", "content": "liked"}]})
    file = hook.upload_file(io.BytesIO(json.dumps(asked).encode() + b"\n"), "input.jsonl")
    sent = {"input_file_id": file.id, "endpoint": asked["url"], "completion_window": "24h"}
    created = json.loads(content_of(f"{place.base_url}/batches", sent))
    ended(hook, created["id"])
    now = json.loads(content_of(f"{place.base_url}/batches/{created['id']}"))
    FACTS[place.peer.name] = facts_of(place.base_url, created, now)
    assert FACTS[place.peer.name]
