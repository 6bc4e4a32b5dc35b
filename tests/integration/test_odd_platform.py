"""What is created later, on a platform that behaves in ways nobody has documented."""

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from msgspec.structs import replace

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.decision import Finish, decide_next
from tests.conftest import Connect
from tests.support.in_flight import event_of, resumed
from tests.support.odd_platform import odd_platform, refusal
from tests.support.rounds import job
from tests.support.tasks import Attempt, TaskInstanceRecord, resume_task, run_task


def one_job(folder: Path, odd: Any, rows: int, **parameters: Any) -> Any:
    folder.mkdir(exist_ok=True)
    return job(folder, rows, sim=odd, **{"max_rounds": 1, "poke_interval": 60, **parameters})


def begun(task: Any, number: int = 1, map_index: int = -1) -> Attempt:
    return run_task(task, TaskInstanceRecord(task_id=task.task_id, try_number=number, map_index=map_index))


def waited(task: Any, odd: Any, attempt: Attempt) -> Attempt:
    """Resume a task as its trigger would by now, if it waits for room alone."""
    assert attempt.deferred is not None
    _, arguments = attempt.deferred.trigger.serialize()
    step = None if arguments["batch_ids"] else decide_next(Watch.from_dict(arguments), {}, odd.now())
    if not isinstance(step, Finish):
        return resumed(task, odd, attempt)
    event = replace(step.event, to_come=arguments["to_come"]).to_dict()
    return resume_task(task, event, ti=attempt.ti, kwargs=attempt.deferred.kwargs)


class TestABatchThatFailsForLackOfRoom:
    def test_rows_that_were_answered_before_are_not_asked_again(self, connect: Connect, tmp_path: Path) -> None:
        """The money ran out midway, and the platform does not count the rows of a failed batch."""
        with odd_platform() as odd:
            connect(odd)
            task = one_job(tmp_path, odd, 4)
            attempt = begun(task)
            odd.complete("batch_0002", status="failed", rows=3)
            odd.give_reason("batch_0002", "insufficient balance")
            odd.batches["batch_0002"]["request_counts"] = None
            with pytest.raises(KimiBatchError, match="1 of 1 batches did not complete"):
                resumed(task, odd, attempt)
            assert len(odd.batches) == 1
            odd.advance(3600)
            begun(task, 2)
            assert odd.asked() == [["r0", "r1", "r2", "r3"], ["r3"]]

    def test_a_shard_is_halved_though_the_platform_did_not_count_its_rows(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        with odd_platform() as odd:
            connect(odd)
            task = one_job(tmp_path, odd, 24)
            attempt = begun(task)
            for _ in range(8):
                for batch_id in odd.running():
                    if len(odd.lines(batch_id)) > 12:
                        odd.fail(batch_id, "insufficient balance")
                    else:
                        odd.complete(batch_id)
                odd.advance(3600)
                if attempt.deferred is not None:
                    attempt = resumed(task, odd, attempt)
        assert attempt.value["counts"]["succeeded"] == 24

    def test_the_wait_ends_at_last_if_it_fails_each_time(self, connect: Connect, tmp_path: Path) -> None:
        """The reason is no lack of room, but reads like it, and batches of others run."""
        with odd_platform() as odd:
            connect(odd)
            begun(one_job(tmp_path / "other", odd, 1, prompt="Another? {text}", task_id="other"))
            task = one_job(tmp_path, odd, 1, timeout=6 * 3600)
            attempt = begun(task)
            (other,) = set(odd.running()) - {list(odd.batches)[-1]}

            def fail_always() -> None:
                nonlocal attempt
                for _ in range(20):
                    for batch_id in set(odd.running()) - {other}:
                        odd.fail(batch_id, "messages[0].content: 'join the queue' is invalid")
                    odd.advance(3600)
                    attempt = waited(task, odd, attempt)

            with pytest.raises(AirflowSensorTimeout, match="no room for all batches"):
                fail_always()
            assert len(odd.batches) < 10


def test_a_pilot_that_ended_early_is_judged_once_its_rest_was_asked(connect: Connect, tmp_path: Path) -> None:
    with odd_platform() as odd:
        connect(odd)
        task = one_job(tmp_path, odd, 10, pilot_rows=4)
        attempt = begun(task)
        odd.complete(odd.running()[0], status="expired", rows=1)
        with pytest.raises(AirflowFailException, match="The pilot did not pass"):
            resumed(task, odd, attempt)
        second = begun(task, 2)
        assert odd.asked() == [["r0", "r1", "r2", "r3"], ["r1", "r2", "r3"]]
        odd.complete(odd.running()[0], status="expired", rows=1)
        with pytest.raises(AirflowFailException, match="The pilot did not pass"):
            resumed(task, odd, second, 2)
        third = begun(task, 3)
        odd.complete_all()
        third = resumed(task, odd, third, 3)
        assert [len(rows) for rows in odd.asked()] == [4, 3, 2, 6]
        odd.complete_all()
        assert resumed(task, odd, third, 3).value["counts"]["succeeded"] == 10


def test_instances_with_an_equal_input_create_what_was_to_come_once(connect: Connect, tmp_path: Path) -> None:
    """One of them resumes when the other has created the next batch long ago."""
    with odd_platform() as odd:
        connect(odd)
        tasks = [one_job(tmp_path / str(index), odd, 3, max_rows_per_batch=1, max_in_flight=1) for index in (0, 1)]
        attempts = [begun(task, map_index=index) for index, task in enumerate(tasks)]
        for index in (0, 1, 0, 1, 0, 1):
            odd.complete_all()
            if attempts[index].deferred is not None:
                attempts[index] = resumed(tasks[index], odd, attempts[index])
        assert odd.asked() == [["r0"], ["r1"], ["r2"]]
    assert [attempt.value["counts"]["succeeded"] for attempt in attempts] == [3, 3]


@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_full_queue_is_waited_for_however_it_is_answered(connect: Connect, tmp_path: Path, status: int) -> None:
    with odd_platform() as odd:
        connect(odd)
        odd.refuse = lambda _: refusal("Too many batches", status, "invalid_request_error") if odd.running() else None
        task = one_job(tmp_path, odd, 2, max_rows_per_batch=1)
        attempt = begun(task)
        while attempt.deferred is not None:
            odd.complete_all()
            odd.advance(3600)
            attempt = resumed(task, odd, attempt)
        assert odd.asked() == [["r0"], ["r1"]]
    assert attempt.value["counts"]["succeeded"] == 2


def test_another_pilot_takes_the_place_of_one_that_did_not_pass(connect: Connect, tmp_path: Path) -> None:
    """As its message says: change the prompt or the schema, set on_changed_input='fresh', and clear."""
    with odd_platform() as odd:
        connect(odd)
        common: dict[str, Any] = {"pilot_rows": 4, "delete_remote_files": True}
        task = one_job(tmp_path, odd, 10, output_schema=["negative"], **common)
        attempt = begun(task)
        odd.complete_all()
        with pytest.raises(AirflowFailException, match="on_changed_input='fresh'"):
            resumed(task, odd, attempt)
        task = one_job(tmp_path, odd, 10, prompt="Now: {text}", on_changed_input="fresh", **common)
        attempt = begun(task, 2)
        while attempt.deferred is not None:
            odd.complete_all()
            attempt = resumed(task, odd, attempt, 2)
    assert attempt.value["counts"]["succeeded"] == 10


def test_a_task_that_waits_for_room_in_the_account_says_so(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with odd_platform() as odd:
        connect(odd, max_in_flight=1)
        begun(one_job(tmp_path / "other", odd, 1, task_id="other"))
        capsys.readouterr()
        attempt = begun(one_job(tmp_path, odd, 1))
        assert "1 batches of the account run" in capsys.readouterr().out
        assert attempt.deferred is not None


def test_a_result_that_lacks_batches_of_its_job_says_so(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that is marked success while it waits has not created all, and shows the ids of those that exist."""
    with odd_platform() as odd:
        connect(odd)
        attempt = begun(one_job(tmp_path, odd, 3, max_rows_per_batch=1, max_in_flight=2))
        odd.complete_all()
        ids = attempt.ti.xcoms["batch_ids"]
        run_task(KimiBatchResultsOperator(task_id="land", batch_id=ids, output=f"{tmp_path}/landed"))
        assert "the result lacks the rows of the others: 2 of the 3 of job" in capsys.readouterr().out


def test_rows_that_chat_calls_have_answered_are_not_asked_again_by_a_clear(connect: Connect, tmp_path: Path) -> None:
    """One batch ended before it began, so that it has no answer of its own."""
    with odd_platform() as odd:
        connect(odd)
        common: dict[str, Any] = {"max_rounds": 2, "min_batch_rows": 100, "allow_realtime": True}
        task = one_job(tmp_path, odd, 4, max_rows_per_batch=2, **common)
        attempt = begun(task)
        first, second = odd.running()
        odd.complete(first, status="expired", rows=0)
        odd.complete(second, rows=1)
        assert resumed(task, odd, attempt).value["counts"]["succeeded"] == 4
        assert len(odd.chats) == 3
        cleared = begun(task, 2)
        if cleared.deferred is not None:
            cleared = resumed(task, odd, cleared, 2)
        assert len(odd.batches) == 2
        assert len(odd.chats) == 3
    assert cleared.value["counts"]["succeeded"] == 4


def test_an_input_file_that_is_not_there_any_more_says_that_the_account_may_be_another(
    connect: Connect, tmp_path: Path
) -> None:
    """A retry with another key finds no batch of this task, and pays for all rows."""
    with odd_platform() as odd, odd_platform() as other:
        connect(odd)
        task = one_job(tmp_path, odd, 2, max_rows_per_batch=1, max_in_flight=1)
        attempt = begun(task)
        odd.complete_all()
        assert attempt.deferred is not None
        event = event_of(attempt).to_dict()
        connect(other)
        with pytest.raises(KimiBatchError, match="another key or region now, give it back the one it had before"):
            resume_task(task, event, ti=attempt.ti, kwargs=attempt.deferred.kwargs)
        assert not other.batches


def test_instances_with_an_equal_input_of_which_one_has_halved_it_pay_once(connect: Connect, tmp_path: Path) -> None:
    with odd_platform() as odd:
        connect(odd)
        most = 12

        def refuse(create: dict[str, Any]) -> Any:
            lines = odd.files[create["input_file_id"]][1].splitlines()
            return refusal("too many rows in the queue") if len(lines) > most else None

        odd.refuse = refuse
        tasks = [one_job(tmp_path / str(index), odd, 24) for index in (0, 1)]
        first, second = (begun(task, map_index=index) for index, task in enumerate(tasks))
        while len(odd.batches) < 2:
            first = resumed(tasks[0], odd, first)
        most = 24
        with pytest.raises(KimiBatchError, match="has cut a shard in another way"):
            resumed(tasks[1], odd, second)
        second = begun(tasks[1], 2, map_index=1)
        odd.complete_all()
        assert resumed(tasks[1], odd, second, 2).value["counts"]["succeeded"] == 24
        assert resumed(tasks[0], odd, first).value["counts"]["succeeded"] == 24
        assert [len(rows) for rows in odd.asked()] == [12, 12]
