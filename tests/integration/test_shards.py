"""An input that is too large for one batch is cut, submitted shard by shard, waited for and merged."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit, write_jsonl
from tests.support.tasks import run_task

PROMPT = "Which language? {text}"


def write_table(path: Path, rows: int, row_bytes: int) -> str:
    """A table of multi-byte text, whose rows differ in size."""
    with path.open("w", encoding="utf-8") as table:
        for number in range(rows):
            text = "评价 très bon 👍 " * (row_bytes * (1 + number % 3) // 22)
            table.write(json.dumps({"id": f"r{number}", "text": text, "lang": "mixed"}, ensure_ascii=False) + "\n")
    return str(path)


def rows_of(path: str) -> Iterator[dict[str, Any]]:
    """Read a landed file row by row."""
    with Path(path.removeprefix("file://")).open("rb") as rows:
        for line in rows:
            yield json.loads(line)


def custom_ids(sim: KimiSimulator, file_id: str) -> list[str]:
    return [json.loads(line)["custom_id"] for line in sim.file_content(file_id).split(b"\n") if line]


def tag_of(sim: KimiSimulator, batch_id: str, key: str) -> str:
    return (sim.batches[batch_id].metadata or {})[key]


def test_an_input_of_250_megabytes_becomes_three_files_and_one_result(connect: Connect, tmp_path: Path) -> None:
    """The bytes of the encoded request decide, with its multi-byte text and its newline."""
    rows = 25_000
    table = write_table(tmp_path / "reviews.jsonl", rows, 5_100)
    with KimiSimulator(speed=0, responder=lambda line: Answer(line["custom_id"].upper())) as sim:
        connect(sim)
        create = KimiCreateBatchOperator(task_id="create", input=table, prompt=PROMPT, key_column="id")
        attempt = run_task(create)
        sizes = [len(sim.file_content(sim.batches[batch_id].input_file_id)) for batch_id in attempt.value]
        assert len(sizes) == 3
        assert sum(sizes) > 250_000_000
        assert max(sizes) <= MAX_FILE_BYTES
        assert max(sizes) - min(sizes) < 1_000_000, "the shards are balanced"
        assert [tag_of(sim, batch_id, "kimi_shard") for batch_id in attempt.value] == ["1/3", "2/3", "3/3"]
        sim.advance(60)
        results = KimiBatchResultsOperator(
            task_id="results",
            batch_id=attempt.value[::-1],
            output=str(tmp_path / "out"),
            input=table,
            key_column="id",
        )
        manifest = run_task(results).value
    assert manifest["counts"]["total"] == manifest["counts"]["succeeded"] == rows
    assert manifest["batch_ids"] == attempt.value
    assert len(json.dumps(manifest)) < 8_000
    for number, (row, source) in enumerate(zip(rows_of(manifest["results_file"]), rows_of(table), strict=True)):
        assert row["custom_id"] == row["id"] == f"r{number}"
        assert row["content"] == f"R{number}"
        assert (row["text"], row["lang"]) == (source["text"], source["lang"])


def test_an_input_is_cut_by_rows_in_input_order(sim: KimiSimulator, hook: KimiHook) -> None:
    submission = submit(hook, order([f"p{n}" for n in range(10)], max_rows_per_batch=4), ATTEMPT, LogRecord())
    ids = [custom_ids(sim, file_id) for file_id in submission.input_file_ids]
    assert sorted(map(len, ids)) == [3, 3, 4]
    assert list(chain.from_iterable(ids)) == [f"row-{n:08d}" for n in range(1, 11)]
    fingerprints = {tag_of(sim, batch_id, "kimi_input_fingerprint") for batch_id in submission.batch_ids}
    assert len(fingerprints) == 3, "every shard keeps its own fingerprint"
    assert len({tag_of(sim, batch_id, "kimi_job_key") for batch_id in submission.batch_ids}) == 1


def test_results_are_merged_in_input_order_whatever_the_order_of_the_batch_ids(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    submission = submit(hook, order([f"p{n}" for n in range(10)], max_rows_per_batch=3), ATTEMPT, LogRecord())
    sim.advance(60)
    landed = land(hook, tmp_path, [submission.batch_ids[i] for i in (2, 0, 3, 1)])
    assert [row["custom_id"] for row in landed.rows()] == [f"row-{n:08d}" for n in range(1, 11)]


def test_one_batch_of_several_is_landed_alone_with_its_own_columns(
    sim: KimiSimulator, hook: KimiHook, tmp_path: Path
) -> None:
    """In a mapped task each instance reads the whole table and lands its own shard."""
    table = write_jsonl(tmp_path / "t.jsonl", [{"text": f"t{n}"} for n in range(1, 8)])
    submission = submit(hook, order(table, prompt="{text}", max_rows_per_batch=3), ATTEMPT, LogRecord())
    sim.advance(60)
    texts = []
    for number, batch_id in enumerate(submission.batch_ids):
        texts += [row["text"] for row in land(hook, tmp_path / str(number), [batch_id], input=table).rows()]
    assert texts == [f"t{n}" for n in range(1, 8)]


def test_an_input_of_more_than_a_hundred_batches_is_refused(sim: KimiSimulator, hook: KimiHook) -> None:
    with pytest.raises(KimiInputError, match="101 batches; one task makes at most 100"):
        submit(hook, order(["p"] * 101, max_rows_per_batch=1), ATTEMPT, LogRecord())
    assert not sim.journal


def test_the_error_of_a_refused_shard_names_what_runs_and_a_retry_submits_only_the_rest(
    sim: KimiSimulator, hook: KimiHook
) -> None:
    wanted = order(["a", "b", "c"], max_rows_per_batch=1)
    sim.inject("create_batch", skip=1, status=400)
    with pytest.raises(
        KimiApiError, match="1 of the 3 batches of this task exist, go on .* They are batch_"
    ) as refused:
        submit(hook, wanted, ATTEMPT, LogRecord())
    (first,) = sim.batches
    assert first in str(refused.value)
    submission = submit(hook, wanted, ATTEMPT, LogRecord())
    assert submission.batch_ids[0] == first
    assert list(sim.batches) == submission.batch_ids
    assert len(submission.input_file_ids) == 3


def test_a_refused_shard_is_not_retried_where_a_retry_would_pay_again(sim: KimiSimulator, hook: KimiHook) -> None:
    """With `reuse="never"` a retry does not attach to any batch."""
    wanted = order(["a", "b", "c"], max_rows_per_batch=1, reuse="never")
    sim.inject("create_batch", skip=1, status=429, error_type="engine_overloaded_error", times=None)
    with pytest.raises(KimiBatchError, match="another attempt would pay for them again") as refused:
        submit(hook, wanted, ATTEMPT, LogRecord())
    assert not refused.value.retryable
    assert len(sim.batches) == 1


def test_the_refusal_of_a_changed_input_says_what_runs_and_what_to_do(sim: KimiSimulator, hook: KimiHook) -> None:
    submission = submit(hook, order(["a"]), ATTEMPT, LogRecord())
    calls = len(sim.journal)
    with pytest.raises(KimiInputError, match="Changed: ") as refused:
        submit(hook, order(["b"]), ATTEMPT, LogRecord())
    assert submission.batch_ids[0] in str(refused.value)
    assert "on_changed_input='fresh'" in str(refused.value)
    assert {call.name for call in sim.journal[calls:]} == {"list_batches"}


def test_a_changed_input_is_submitted_with_reuse_never(sim: KimiSimulator, hook: KimiHook) -> None:
    submit(hook, order(["a"]), ATTEMPT, LogRecord())
    submit(hook, order(["b"], reuse="never"), ATTEMPT, LogRecord())
    assert len(sim.batches) == 2


def test_a_changed_input_is_submitted_where_the_earlier_batch_is_lost(sim: KimiSimulator, hook: KimiHook) -> None:
    lost = submit(hook, order(["a"]), ATTEMPT, LogRecord())
    hook.cancel_batch(lost.batch_ids[0])
    sim.advance(3600)
    assert submit(hook, order(["b"]), ATTEMPT, LogRecord()).batch_ids != lost.batch_ids
