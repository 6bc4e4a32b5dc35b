"""A batch that ended before it was done: its answers are paid, and only the other rows are asked again."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Collected, Landing
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator, Timing
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit
from tests.support.tasks import run_task

HOUR = 3600

#: 43 % of the rows are done when a window of a day ends.
SLOW = Timing(validating_seconds=0, working_seconds=200_000, cancelling_seconds=600)

ROWS = [f"review {number}: great" for number in range(200)]


def attempt(number: int) -> Attempt:
    return replace(ATTEMPT, number=number, mark=str(number))


def ask(sim: KimiSimulator, hook: KimiHook, number: int, log: LogRecord | None = None, **wanted: Any) -> list[str]:
    """What an attempt returns."""
    return submit(hook, order(ROWS, **wanted), attempt(number), log or LogRecord(), sim.advance).batch_ids


def expired(sim: KimiSimulator, hook: KimiHook, **wanted: Any) -> str:
    """A batch whose window has ended."""
    (batch_id,) = ask(sim, hook, 1, **wanted)
    sim.advance(25 * HOUR)
    assert sim.status(batch_id) == "expired"
    assert hook.get_batch(batch_id).counts.completed == 86
    return batch_id


def ended(sim: KimiSimulator) -> None:
    """Let the newest batch complete within its window."""
    sim.advance(25 * HOUR)


def landed(hook: KimiHook, ids: list[str], folder: Path) -> tuple[Collected, list[dict[str, Any]]]:
    collected = collect(Calls(hook, LogRecord()), Landing(ids, str(folder)))
    return collected, [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def requests_of(sim: KimiSimulator, batch_id: str) -> set[str]:
    lines = sim.file_content(str(sim.batches[batch_id].input_file_id)).splitlines()
    return {json.loads(line)["custom_id"] for line in lines}


def test_a_clear_asks_only_for_the_rows_without_an_answer_and_says_the_numbers(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        old = expired(sim, hook)
        log = LogRecord()
        first, rest = ask(sim, hook, 2, log)
        assert first == old
        assert len(requests_of(sim, rest)) == 114
        assert any("86 of the 200 rows of shard 1 are answered and paid" in line for line in log.warnings)
        assert ask(sim, hook, 3) == [old, rest], "a later attempt returns the same"


def test_the_answers_of_both_batches_land_as_one_row_for_each_request(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        expired(sim, hook)
        ids = ask(sim, hook, 2)
        ended(sim)
        collected, rows = landed(hook, ids, tmp_path)
        assert [row["custom_id"] for row in rows] == [f"row-{number:08}" for number in range(1, 201)]
        done = Counter((row["status"], row["batch_id"], row["round"]) for row in rows)
        second = hook.get_batch(ids[1]).counts.completed
        assert done["succeeded", ids[0], 1] == 86
        assert done["succeeded", ids[1], 2] == second > 0
        counts = collected.manifest.counts
        assert (counts["total"], counts["succeeded"], collected.manifest.rounds) == (200, 86 + second, 2)
        assert len((tmp_path / "output.jsonl").read_bytes().splitlines()) == 86 + second


def test_attempts_ask_for_what_is_left_until_every_row_is_answered(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(unfinished_rows="error_file")) as sim:
        hook = connect(sim)
        expired(sim, hook)
        for number in range(2, 30):
            ids = ask(sim, hook, number)
            ended(sim)
            if all(sim.status(batch_id) == "completed" for batch_id in ids[1:]):
                break
        asked = Counter(custom_id for batch_id in ids for custom_id in requests_of(sim, batch_id))
        answers = Counter(
            json.loads(line)["custom_id"]
            for file_id in sim.file_ids("batch_output")
            for line in sim.file_content(file_id).splitlines()
            if json.loads(line).get("response")
        )
        assert set(answers.values()) == {1}, "no row is paid twice"
        collected, rows = landed(hook, ids, tmp_path)
        assert len(rows) == 200
        assert collected.manifest.counts["succeeded"] == len(answers)
        assert len(asked) == 200


def test_a_wait_for_both_batches_succeeds_once_the_rest_completes(connect: Connect) -> None:
    quick = replace(SLOW, working_seconds=100_000)
    with KimiSimulator(speed=0, timing=quick) as sim:
        hook = connect(sim)
        (old,) = ask(sim, hook, 1)
        sim.advance(12 * HOUR)
        hook.cancel_batch(old)
        sim.advance(HOUR)
        ids = ask(sim, hook, 2, completion_window="7d")
        sim.advance(40 * HOUR)
        assert [sim.status(batch_id) for batch_id in ids] == ["cancelled", "completed"]
        assert run_task(KimiBatchSensor(task_id="wait", batch_id=ids)).value == ids


def test_a_batch_that_is_being_cancelled_is_waited_for_before_the_rest_is_asked(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        (old,) = ask(sim, hook, 1)
        sim.advance(12 * HOUR)
        hook.cancel_batch(old)
        with pytest.raises(KimiBatchError, match="is being cancelled") as caught:
            ask(sim, hook, 2)
        assert caught.value.retryable
        sim.advance(HOUR)
        assert ask(sim, hook, 3)[0] == old


def test_a_batch_that_ended_without_an_answer_is_submitted_again_as_a_whole(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=replace(SLOW, validating_seconds=600)) as sim:
        hook = connect(sim)
        (old,) = ask(sim, hook, 1)
        hook.cancel_batch(old)
        sim.advance(HOUR)
        (new,) = ask(sim, hook, 2)
        assert len(requests_of(sim, new)) == 200


def test_resubmit_pays_for_all_rows_and_says_what_was_paid_before(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        expired(sim, hook)
        log = LogRecord()
        (new,) = ask(sim, hook, 2, log, on_ended="resubmit")
        assert len(requests_of(sim, new)) == 200
        assert any("86 of 200 rows completed" in line for line in log.warnings)
        assert ask(sim, hook, 3) == [new]


def test_fail_sends_nothing_and_says_what_was_done(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        old = expired(sim, hook)
        with pytest.raises(KimiInputError, match=f"Nothing was sent now.*{old} .expired., 86 of 200 rows completed"):
            ask(sim, hook, 2, on_ended="fail")
        assert list(sim.batches) == [old]


def test_answers_that_are_gone_stop_the_task_since_they_were_landed_most_likely(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(result_retention_seconds=HOUR)) as sim:
        hook = connect(sim)
        old = expired(sim, hook)
        sim.advance(2 * HOUR)
        with pytest.raises(KimiBatchError, match="no longer has its output file.*pass the dead_letter.jsonl") as caught:
            ask(sim, hook, 2)
        assert not caught.value.retryable
        assert list(sim.batches) == [old]
        (new,) = ask(sim, hook, 2, on_ended="resubmit")
        assert len(requests_of(sim, new)) == 200


def test_answers_that_do_not_come_whole_stop_the_task_since_paid_rows_would_be_asked_again(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        (old,) = ask(sim, hook, 1)
        sim.advance(24 * HOUR + 60)
        output = str(hook.get_batch(old).output_file_id)
        sim.replace_content(output, b"\n".join(sim.file_content(output).splitlines()[:50]) + b"\n")
        with pytest.raises(
            KimiBatchError, match="counts 86 answers of batch .* gives an output file of 50 lines"
        ) as caught:
            ask(sim, hook, 2)
        assert caught.value.retryable
        assert list(sim.batches) == [old]


def test_lines_of_the_output_file_that_are_no_answers_are_asked_again(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        old = expired(sim, hook)
        output = str(hook.get_batch(old).output_file_id)
        lines = [json.loads(line) for line in sim.file_content(output).splitlines()]
        for line in lines[:6]:
            line.update(response=None, error={"code": "batch_expired", "message": "not in time"})
        sim.replace_content(output, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        (_, rest) = ask(sim, hook, 2)
        assert len(requests_of(sim, rest)) == 120


def test_counts_that_stay_wrong_an_hour_after_the_end_stop_no_clear(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        old = expired(sim, hook)
        sim.advance(HOUR)
        output = str(hook.get_batch(old).output_file_id)
        sim.replace_content(output, b"".join(sim.file_content(output).splitlines(keepends=True)[:80]))
        (_, rest) = ask(sim, hook, 2)
        assert len(requests_of(sim, rest)) == 120


def test_a_cancel_that_is_under_way_is_waited_for_even_if_no_row_is_done_yet(connect: Connect) -> None:
    """Rows that run when a cancel comes still end, and are billed."""
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        (old,) = ask(sim, hook, 1)
        hook.cancel_batch(old)
        with pytest.raises(KimiBatchError, match="is being cancelled"):
            ask(sim, hook, 2)
        assert list(sim.batches) == [old]


def test_answers_that_are_still_to_come_stop_the_task_too(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(late_file_seconds=2 * HOUR)) as sim:
        hook = connect(sim)
        (old,) = ask(sim, hook, 1)
        sim.advance(24 * HOUR + 60)
        with pytest.raises(KimiBatchError, match="names no output file.*Retry or clear this task later") as caught:
            ask(sim, hook, 2)
        assert caught.value.retryable
        assert list(sim.batches) == [old]
        sim.advance(2 * HOUR)
        assert ask(sim, hook, 3)[0] == old


def test_answers_that_never_come_stop_the_task_for_good(connect: Connect) -> None:
    with KimiSimulator(speed=0, timing=SLOW, behaviour=Behaviour(expired_output=False)) as sim:
        hook = connect(sim)
        old = expired(sim, hook)
        sim.advance(HOUR)
        with pytest.raises(KimiBatchError, match="counts 86 answers.*names no output file") as caught:
            ask(sim, hook, 2)
        assert not caught.value.retryable
        assert list(sim.batches) == [old]


def test_the_rest_of_each_shard_is_asked_apart(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        old = ask(sim, hook, 1, max_rows_per_batch=100)
        sim.advance(25 * HOUR)
        ids = ask(sim, hook, 2, max_rows_per_batch=100)
        assert [Tags.of(hook.get_batch(batch_id)).shard for batch_id in ids] == ["1/2", "1/2", "2/2", "2/2"]
        assert [ids[0], ids[2]] == old
        ended(sim)
        _, rows = landed(hook, ids, tmp_path)
        assert [row["custom_id"] for row in rows] == [f"row-{number:08}" for number in range(1, 201)]


def test_noted_ids_name_the_ended_batches_too(connect: Connect) -> None:
    """On Airflow 3.3 an attempt finds its batches in the task state store."""
    from airflow_provider_kimi.submission.submit import submit as submit_with

    class Store(dict[str, Any]):
        def set(self, key: str, value: Any) -> None:
            self[key] = value

    with KimiSimulator(speed=0, timing=SLOW) as sim:
        hook = connect(sim)
        store = Store()
        expired(sim, hook)
        calls = Calls(hook, LogRecord(), sim.advance)
        ids = submit_with(calls, order(ROWS), attempt(2), store).batch_ids
        assert len(ids) == 2
        sim.inject("list_batches", status=500, times=None)
        assert submit_with(calls, order(ROWS), attempt(3), store).batch_ids == ids
