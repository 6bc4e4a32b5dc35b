"""What a wait writes into its task's log."""

import random
import re
from collections.abc import Callable

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.waiting.decision import Finish, Seen, Wait, Watch, decide_next
from airflow_provider_kimi.waiting.stalls import Move, Note, moves_after
from airflow_provider_kimi.waiting.wait_log import Diary
from tests.support.logs import LogRecord
from tests.support.samples import make_batch

NOW = 1_757_000_000.0
DAY = 86_400


def in_progress(done: int, total: int = 100_000) -> dict[str, Seen]:
    return {"batch_1": make_batch(request_counts=RequestCounts(total, done))}


def test_a_day_of_progress_and_faults_is_told_in_fewer_than_200_lines() -> None:
    log, source = LogRecord(), random.Random(6)
    diary = Diary(log, 1, NOW)
    shown = 0
    for second in range(10, DAY, 10):
        fault = f"Could not look at batch batch_1: HTTP 503, request {second}" if source.random() < 0.3 else ""
        shown += diary.write(in_progress(second), Wait(fault=fault), NOW + second) is not None
    assert 100 < len(log.infos) + len(log.warnings) < 200
    assert 20 < shown < 200


def test_what_nobody_has_told_yet_is_told_at_once_and_then_only_changes() -> None:
    log = LogRecord()
    diary = Diary(log, 1, NOW, told=())
    assert diary.write(in_progress(0), Wait(), NOW) is not None
    assert diary.write(in_progress(0), Wait(), NOW + 1000) is None
    assert log.infos == ["Batch batch_1: in_progress, 0 of 100,000 rows done"]


def test_a_trigger_begins_with_numbers_but_does_not_repeat_the_line_of_the_worker() -> None:
    log = LogRecord()
    assert Diary(log, 1, NOW).write(in_progress(0), Wait(), NOW) is not None
    assert log.infos == []
    Diary(log, 1, NOW, told=["in_progress"]).write(in_progress(0), Wait(), NOW)
    assert log.infos == []


def test_a_trigger_tells_what_has_changed_since_the_worker_looked() -> None:
    log = LogRecord()
    Diary(log, 1, NOW, told=["validating"]).write(in_progress(0), Wait(), NOW)
    assert log.infos == ["Batch batch_1: in_progress, 0 of 100,000 rows done"]


def test_a_new_status_is_told_at_once() -> None:
    log = LogRecord()
    diary = Diary(log, 1, NOW)
    diary.write(in_progress(100), Wait(), NOW + 3600)
    diary.write({"batch_1": make_batch("finalizing")}, Wait(), NOW + 3601)
    assert log.infos == ["Batch batch_1: finalizing"]


def test_what_is_held_back_is_told_when_the_time_has_come() -> None:
    log = LogRecord()
    diary = Diary(log, 1, NOW, told=())
    diary.write(in_progress(1), Wait(), NOW + 1000)
    assert diary.write(in_progress(2), Wait(), NOW + 1001) is None
    assert diary.again_at is not None
    assert diary.write(in_progress(2), Wait(), diary.again_at) is not None
    assert len(log.infos) == 2
    assert diary.again_at is None


def told_of(watch: Watch, seen_at: Callable[[int], dict[str, Seen]], seconds: int) -> list[str]:
    """What a day of such looks writes, one a minute."""
    log, moves = LogRecord(), dict[str, Move]()
    diary = Diary(log, len(watch.batch_ids), NOW)
    for second in range(0, seconds, 60):
        now, seen = NOW + second, seen_at(second)
        moves = moves_after(moves, seen, now)
        diary.write(seen, decide_next(watch, seen, moves, now), now)
    return log.warnings


def test_300_batches_that_stand_still_one_after_the_other_are_told_in_fewer_than_100_lines() -> None:
    watch = Watch(tuple(f"batch_{number}" for number in range(300)), stall_seconds=3600)

    def stuck(second: int) -> dict[str, Seen]:
        return {
            batch_id: make_batch(batch_id=batch_id, request_counts=RequestCounts(10**6, min(second, 200 * number)))
            for number, batch_id in enumerate(watch.batch_ids)
        }

    warnings = told_of(watch, stuck, DAY)
    assert 10 < len(warnings) < 100
    named = sum(line.count("has not moved since") for line in warnings)
    assert named + sum(int(more) for line in warnings for more in re.findall(r"And (\d+) more", line)) == 300
    assert max(map(len, warnings)) < 1000


def test_a_batch_that_works_on_behind_its_window_is_told_once_and_not_to_stand_still() -> None:
    def late(second: int) -> dict[str, Seen]:
        return {"batch_1": make_batch(expires_at=int(NOW), request_counts=RequestCounts(100_000, 50_000 + second))}

    (warning,) = told_of(Watch(("batch_1",)), late, 6 * 3600)
    assert "rows done, and its window ended at" in warning
    assert "has not moved" not in warning


def test_a_warning_about_a_batch_comes_once() -> None:
    log = LogRecord()
    diary = Diary(log, 1, NOW)
    for second in range(100):
        note = Note("batch_1 is odd", f"Batch batch_1 is odd, with {second} rows done.")
        diary.write(in_progress(0), Wait(notes=(note,)), NOW + second)
    assert log.warnings == ["Batch batch_1 is odd, with 0 rows done. Waiting on."]


def test_an_outage_is_told_when_it_begins_and_when_it_is_over() -> None:
    log = LogRecord()
    diary = Diary(log, 1, NOW)
    for second, fault in ((10, ""), (100, "No answer, 1."), (110, "No answer, 2."), (5000, "")):
        diary.write(in_progress(0), Wait(fault=fault), NOW + second)
    assert log.warnings == ["No answer, 1. Waiting on."]
    assert log.infos == ["The batches can be looked at again."]


def test_an_outage_is_not_told_to_be_over_where_the_wait_is() -> None:
    log = LogRecord()
    diary = Diary(log, 1, NOW)
    diary.write({}, Wait(fault="No answer."), NOW + 10)
    diary.write({}, Finish(BatchEvent("timed_out", {}, "The time is over.")), NOW + 5000)
    assert log.infos == []


def test_several_batches_are_told_once_all_were_seen() -> None:
    log = LogRecord()
    diary = Diary(log, 2, NOW, told=())
    one = make_batch("completed", "batch_1")
    assert diary.write({"batch_1": one}, Wait(), NOW) is None
    assert diary.write({"batch_1": one, "batch_2": make_batch("failed", "batch_2")}, Wait(), NOW) is not None
    assert log.infos == ["2 batches: 1 completed, 1 failed"]
