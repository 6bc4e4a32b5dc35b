"""What a wait writes into its task's log."""

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.exceptions import KimiNoAnswerError
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.waiting.decision import Finish, Wait, decide_next
from airflow_provider_kimi.waiting.known import Known, Seen, known_after
from airflow_provider_kimi.waiting.stalls import Note
from airflow_provider_kimi.waiting.wait_log import WaitLog
from tests.support.logs import LogRecord
from tests.support.samples import make_batch

NOW = 1_757_000_000.0
DAY = 86_400


def known(*batches: Batch) -> dict[str, Known]:
    return known_after({}, {batch.id: batch for batch in batches}, NOW)


def in_progress(done: int, total: int = 100_000) -> dict[str, Known]:
    return known(make_batch(request_counts=RequestCounts(total, done)))


def test_a_day_of_progress_and_faults_takes_fewer_than_200_lines() -> None:
    log, source = LogRecord(), random.Random(6)
    wait_log = WaitLog(log, 1, NOW)
    shown = 0
    for second in range(10, DAY, 10):
        fault = f"Batch batch_1 could not be read: HTTP 503, request {second}" if source.random() < 0.3 else ""
        shown += wait_log.write(in_progress(second), Wait(fault=fault), NOW + second) is not None
    assert 100 < len(log.infos) + len(log.warnings) < 200
    assert 20 < shown < 200


def test_the_first_poll_of_a_task_logs_how_its_batch_stands_and_later_ones_only_changes() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW, logged_statuses=())
    assert wait_log.write(in_progress(0), Wait(), NOW) is not None
    assert wait_log.write(in_progress(0), Wait(), NOW + 800) is None
    assert log.infos == ["0 of 100,000 rows completed: batch batch_1 is in_progress"]


def test_progress_that_does_not_change_is_shown_every_quarter_of_an_hour_with_the_time_of_its_poll() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW, logged_statuses=())
    wait_log.write(in_progress(0), Wait(), NOW)
    assert wait_log.again_at == NOW + 900
    again = wait_log.write(in_progress(0), Wait(), NOW + 900, polled_at=NOW + 870)
    assert again is not None
    assert again.polled_at == datetime.fromtimestamp(NOW + 870, UTC)
    assert wait_log.write(in_progress(0), Wait(), NOW + 1000) is None
    assert wait_log.again_at == NOW + 1800
    assert len(log.infos) == 1


def test_progress_that_cannot_be_read_is_not_shown_as_if_it_was() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW, logged_statuses=())
    before = in_progress(0)
    wait_log.write(before, Wait(), NOW)
    unread = known_after(before, {"batch_1": KimiNoAnswerError("no answer")}, NOW + 1000)
    assert wait_log.write(unread, Wait(), NOW + 1000) is None


def test_a_trigger_shows_progress_at_once_but_does_not_repeat_the_line_of_the_worker() -> None:
    log = LogRecord()
    assert WaitLog(log, 1, NOW).write(in_progress(0), Wait(), NOW) is not None
    assert log.infos == []
    WaitLog(log, 1, NOW, logged_statuses=["in_progress"]).write(in_progress(0), Wait(), NOW)
    assert log.infos == []


def test_a_trigger_logs_a_status_that_is_not_the_one_the_worker_logged() -> None:
    log = LogRecord()
    WaitLog(log, 1, NOW, logged_statuses=["validating"]).write(in_progress(0), Wait(), NOW)
    assert log.infos == ["0 of 100,000 rows completed: batch batch_1 is in_progress"]


def test_a_new_status_is_logged_at_once() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW)
    wait_log.write(in_progress(100), Wait(), NOW + 3600)
    wait_log.write(known(make_batch("finalizing")), Wait(), NOW + 3601)
    assert log.infos == ["Batch batch_1 is finalizing"]


def test_a_line_that_is_held_back_is_logged_at_the_time_that_the_log_asks_for() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW, logged_statuses=())
    wait_log.write(in_progress(1), Wait(), NOW + 1000)
    assert wait_log.write(in_progress(2), Wait(), NOW + 1001) is None
    assert wait_log.again_at is not None
    assert wait_log.write(in_progress(2), Wait(), wait_log.again_at) is not None
    assert len(log.infos) == 2
    assert wait_log.again_at > NOW + 1900


def warnings_of(watch: Watch, seen_at: Callable[[int], dict[str, Seen]], seconds: int, pause: int = 60) -> list[str]:
    """The warnings of a wait that polls once a minute, or at other pauses."""
    log, before = LogRecord(), dict[str, Known]()
    wait_log = WaitLog(log, len(watch.batch_ids), NOW)
    for second in range(0, seconds, pause):
        now = NOW + second
        before = known_after(before, seen_at(second), now)
        wait_log.write(before, decide_next(watch, before, now), now)
    return log.warnings


def test_300_batches_that_stall_one_after_the_other_take_fewer_than_100_lines() -> None:
    watch = Watch(tuple(f"batch_{number}" for number in range(300)), stall_seconds=3600)

    def stuck(second: int) -> dict[str, Seen]:
        return {
            batch_id: make_batch(batch_id=batch_id, request_counts=RequestCounts(10**6, min(second, 200 * number)))
            for number, batch_id in enumerate(watch.batch_ids)
        }

    warnings = warnings_of(watch, stuck, DAY, pause=240)
    assert 10 < len(warnings) < 100
    named = sum(line.count("has not moved since") for line in warnings)
    assert named + sum(int(more) for line in warnings for more in re.findall(r"And (\d+) more", line)) == 300
    assert max(map(len, warnings)) < 1000


def test_a_batch_that_works_on_after_its_window_is_warned_of_once_and_not_as_one_that_has_not_moved() -> None:
    def late(second: int) -> dict[str, Seen]:
        return {"batch_1": make_batch(expires_at=int(NOW), request_counts=RequestCounts(100_000, 50_000 + second))}

    (warning,) = warnings_of(Watch(("batch_1",)), late, 6 * 3600)
    assert "rows completed, and its window ended at" in warning
    assert "has not moved" not in warning


def test_a_warning_about_one_subject_is_logged_once() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW)
    for second in range(100):
        note = Note("batch_1 is odd", f"Batch batch_1 is odd, with {second} rows completed.")
        wait_log.write(in_progress(0), Wait(notes=(note,)), NOW + second)
    assert log.warnings == ["Batch batch_1 is odd, with 0 rows completed. Waiting on."]


def test_an_outage_is_logged_when_it_begins_and_when_it_is_over() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW)
    for second, fault in ((10, ""), (100, "No answer, 1."), (110, "No answer, 2."), (5000, "")):
        wait_log.write(in_progress(0), Wait(fault=fault), NOW + second)
    assert log.warnings == ["No answer, 1. Waiting on."]
    assert log.infos == ["The batches can be read again."]


def test_the_end_of_an_outage_is_not_logged_where_the_wait_itself_ends() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 1, NOW)
    wait_log.write({}, Wait(fault="No answer."), NOW + 10)
    wait_log.write({}, Finish(BatchEvent("timed_out", {}, "The wait timed out.")), NOW + 5000)
    assert log.infos == []


def test_several_batches_are_logged_together_once_all_were_read() -> None:
    log = LogRecord()
    wait_log = WaitLog(log, 2, NOW, logged_statuses=())
    one = make_batch("completed", "batch_1")
    assert wait_log.write(known(one), Wait(), NOW) is None
    assert wait_log.write(known(one, make_batch("failed", "batch_2")), Wait(), NOW) is not None
    assert log.infos == ["2 batches, 1 completed, 1 failed"]
