"""Killed at any moment of its chat calls, the one task asks no row again whose answer had come."""

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiStoppedError
from airflow_provider_kimi.records.realtime import read_line
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.crash.lander import DiskFate
from tests.integration.test_realtime import SMALL, Platform, chats_of, left_beside
from tests.support.killed import killed_once
from tests.support.rounds import QUICK, YES, asked_in, check_sums, ended, job, manifest, results, tries
from tests.support.s3 import Storage
from tests.support.tasks import TaskInstanceRecord, resume_task, run_task


class OfAnswers(DiskFate):
    """Counts only the changes of files that hold answers of chat calls, and of the manifest."""

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if any(name in str(arguments[:2]) for name in ("chat", "realtime", "manifest")):
            super().audit(event, arguments)


def answered_on_disk(folder: Path) -> list[str]:
    """The rows whose answers lie in the output directory, in whichever file."""
    found = [path for path in folder.glob("out/*") if "chat" in path.name or "realtime" in path.name]
    lines = [line for path in found if not path.name.endswith(".new") for line in path.read_bytes().splitlines()]
    return sorted({read.custom_id.removeprefix("r") for line in lines if (read := read_line(line))})


def waited(task: Any, sim: KimiSimulator, ti: TaskInstanceRecord) -> tuple[dict[str, Any], Any]:
    """Bring the task to the end of its wait; return the event, and what the task is given back beside it."""
    deferred = run_task(task, ti).deferred
    assert deferred is not None
    sim.advance(100)
    return ended(deferred.trigger.serialize()[1]["batch_ids"], 1).to_dict(), deferred.kwargs


def test_killed_at_any_change_of_the_output_no_answer_is_asked_for_again(connect: Connect, tmp_path: Path) -> None:
    """A process of its own goes on behind the wait. The calls that are under way when it dies may be paid twice."""
    apart = {"1": 0.0, "4": 0.15, "7": 0.3}

    def say(prompt: str, times: int) -> Any:
        time.sleep(apart[prompt])  # so that there are deaths between two answers
        return YES

    platform = Platform(1, 4, 7, say=say)
    kept_some = 0
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        for at in count(1):
            folder = tmp_path / str(at)
            folder.mkdir()
            task, ti = job(folder, sim=sim, **SMALL), TaskInstanceRecord(task_id="job", run_id=f"run {at}")
            event, kwargs = waited(task, sim, ti)
            platform.chats.clear()
            child = os.fork()
            if child == 0:
                sys.addaudithook(OfAnswers(str(folder / "out"), "killed", at).audit)
                resume_task(task, event, ti=ti, kwargs=kwargs)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            paid, before = answered_on_disk(folder), list(platform.chats)
            kept_some += 0 < len(paid) < 3
            again = TaskInstanceRecord(task_id="job", run_id=f"run {at}", try_number=2)
            found = tries(task, sim, 2, ti=again).value
            seen = f"killed at {at}, with {paid} of {before}"
            assert sorted([*paid, *platform.chats[len(before) :]]) == ["1", "4", "7"], seen
            assert found == manifest(folder), seen
            assert found["counts"]["succeeded"] == len(results(folder)) == 10, seen
            assert found["realtime"]["rows"] == 3, seen
            assert left_beside(folder) == [], seen
            check_sums(found, 10)
            if status == 0:
                break
        assert {len(rows) for rows in asked_in(sim)} == {10}
    assert at > 15
    assert kept_some > 1, kept_some


@pytest.mark.parametrize("state", ["killed once", "killed twice"])
def test_a_kill_that_asks_nicely_ends_between_two_calls_and_a_retry_asks_the_others(
    connect: Connect, tmp_path: Path, state: str
) -> None:
    def say(prompt: str, times: int) -> Any:
        time.sleep(0.05)
        return YES

    platform = Platform(*range(40), say=say)
    some = {"min_batch_rows": 100, "allow_realtime": True}
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        ti = TaskInstanceRecord(task_id="job")
        event, kwargs = waited(job(tmp_path, rows=40, sim=sim, **some), sim, ti)
        for asked in (10, 25)[: 1 + (state == "killed twice")]:
            operator = job(tmp_path, rows=40, sim=sim, **some)
            context: Any = {"ti": ti}
            operator.render_template_fields(context)
            with (
                killed_once(operator, lambda asked=asked: len(platform.chats) >= asked),  # type: ignore[misc]
                pytest.raises(KimiStoppedError, match="asks only the others"),
            ):
                operator.execute_complete(context, event, **kwargs)
            assert len(platform.chats) < 40
        found = tries(job(tmp_path, rows=40, sim=sim, **some), sim, 2).value
        assert sorted(map(int, platform.chats)) == list(range(40)), "every row once"
    assert found["counts"]["succeeded"] == 40


def test_on_s3_answers_outlast_a_death_and_a_clear_asks_only_the_others(
    connect: Connect, tmp_path: Path, s3: Storage
) -> None:
    class Gone(BaseException):
        """The worker is gone."""

    def dies_behind_the_calls(row: Mapping[str, Any]) -> None:
        if "chat" in " ".join(s3.keys()):
            raise Gone

    platform = Platform(1, 4, 7)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, output=s3.uri("out"), **SMALL)
        dying = job(tmp_path, sim=sim, output=s3.uri("out"), check=dies_behind_the_calls, **SMALL)
        sim.inject("chat", skip=2, status=401, error_type="invalid_authentication_error", times=1)
        with pytest.raises(Gone):
            tries(dying, sim)
        assert len(platform.chats) == 2
        (part,) = filter(re.compile("chat").search, s3.keys())
        assert len(s3.get(part).splitlines()) == 2
        found = tries(task, sim, 2).value
        assert sorted(platform.chats) == ["1", "4", "7"]
        assert tries(task, sim, 3).value == found
        assert chats_of(sim) == 4, "one was refused"
    names = ["manifest.json", "error.jsonl", "output.jsonl", "realtime.jsonl", "report.html", "results.jsonl"]
    assert s3.keys() == [f"out/{name}" for name in sorted(names)]
    assert found["counts"]["succeeded"] == 10
    assert found["realtime_file"] == s3.uri("out/realtime.jsonl")


def test_another_run_in_the_same_output_takes_none_of_its_answers(connect: Connect, tmp_path: Path) -> None:
    platform = Platform(1, 4)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, **SMALL)
        first = tries(task, sim, ti=TaskInstanceRecord(task_id="job", run_id="monday")).value
        second = tries(task, sim, ti=TaskInstanceRecord(task_id="job", run_id="tuesday")).value
        assert chats_of(sim) == 4
    assert first["batch_ids"] != second["batch_ids"]
    lines = (tmp_path / "out" / "realtime.jsonl").read_bytes().splitlines()
    firsts = {json.loads(line)["realtime"]["batch_id"] for line in lines}
    assert firsts == set(second["batch_ids"])


def test_a_result_without_chat_calls_removes_the_answers_of_the_one_that_it_replaces(
    connect: Connect, tmp_path: Path
) -> None:
    platform = Platform(1, 4)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        tries(job(tmp_path, sim=sim, **SMALL), sim, ti=TaskInstanceRecord(task_id="job", run_id="monday"))
        platform.failing.clear()
        tries(job(tmp_path, sim=sim, **SMALL), sim, ti=TaskInstanceRecord(task_id="job", run_id="tuesday"))
    assert not (tmp_path / "out" / "realtime.jsonl").exists()


def test_several_shards_have_their_own_answers(connect: Connect, tmp_path: Path) -> None:
    platform = Platform(1, 4, 7)
    with KimiSimulator(speed=0, timing=QUICK, responder=platform) as sim:
        connect(sim)
        task = job(tmp_path, sim=sim, max_rows_per_batch=3, **SMALL)
        found = tries(task, sim).value
        assert len(sim.batches) == 4
        assert tries(task, sim, 2).value == found
        assert chats_of(sim) == 3
    check_sums(found, 10)
    assert found["by_round"] == [{"requests": 10, "succeeded": 7}, {"requests": 3, "succeeded": 3}]
    assert [results(tmp_path)[f"r{n}"]["round"] for n in (1, 4, 7)] == [2, 2, 2]
