"""Chat calls keep to what an account allows, outlast what passes, and end where they are of no use."""

import json
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiStoppedError
from airflow_provider_kimi.jobs.realtime import AskedRow, RealtimeRound
from airflow_provider_kimi.records.realtime import read_line
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.realtime import AnswerParts
from airflow_provider_kimi.simulator import Answer, Behaviour, KimiSimulator
from tests.conftest import Connect


class Quiet:
    def info(self, event: str, *args: Any) -> None: ...

    def warning(self, event: str, *args: Any) -> None: ...


def rows(number: int) -> Iterator[AskedRow]:
    for n in range(number):
        body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": f"row {n}"}]}
        yield AskedRow(f"r{n}", "batch_1", body)


def chat(hook: Any, folder: Path, sim: KimiSimulator, **options: Any) -> RealtimeRound:
    calls = Calls(hook, Quiet(), sim.advance, jitter=lambda: 0.0)
    parts = AnswerParts(OutputDirectory(str(folder)), ".kimi-chat-a-")
    return RealtimeRound(calls, parts, **{"is_killed": lambda: False, **options})


def kept(folder: Path) -> list[str]:
    lines = [line for part in sorted(folder.glob(".kimi-chat-*.jsonl")) for line in part.read_bytes().splitlines()]
    return [found.custom_id for line in lines if (found := read_line(line))]


def slowly(request: Mapping[str, Any]) -> Answer:
    time.sleep(0.03)
    return Answer("yes")


def names(sim: KimiSimulator) -> list[int | None]:
    return [call.status for call in sim.journal if call.name == "chat"]


def test_an_account_that_allows_one_call_at_a_time_answers_every_row(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, responder=slowly, behaviour=Behaviour(chats_at_once=1)) as sim:
        round = chat(connect(sim), tmp_path, sim)
        round.ask(rows(12))
        assert sim.chat_usage["calls"] == 12
        assert names(sim).count(429) < 8, "a call that is one too many is not repeated beside the others"
    assert (round.answered, round.unfinished) == (12, "")
    assert sorted(kept(tmp_path)) == sorted(row.custom_id for row in rows(12))


def test_an_account_that_allows_three_calls_a_minute_answers_every_row(connect: Connect, tmp_path: Path) -> None:
    behaviour = Behaviour(calls_per_minute=3, chats_at_once=1)
    with KimiSimulator(speed=0, responder=slowly, behaviour=behaviour) as sim:
        begun = sim.now()
        round = chat(connect(sim), tmp_path, sim)
        round.ask(rows(9))
        assert sim.chat_usage["calls"] == 9
        assert 100 < sim.now() - begun < 400
    assert (round.answered, round.unfinished) == (9, "")


def test_calls_keep_to_the_requests_a_minute_of_the_connection(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(calls_per_minute=3)) as sim:
        hook = connect(sim, requests_per_minute=3)
        chat(hook, tmp_path, sim, at_once=1).ask(rows(6))
        assert set(names(sim)) == {200}


def test_a_pause_that_the_platform_asks_for_is_kept(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        sim.inject("chat", status=429, error_type="rate_limit_reached_error", retry_after=77)
        begun = sim.now()
        round = chat(connect(sim), tmp_path, sim, at_once=1)
        round.ask(rows(2))
        assert sim.now() - begun >= 77
    assert round.answered == 2


def test_an_overloaded_platform_is_no_reason_for_fewer_calls(connect: Connect, tmp_path: Path) -> None:
    most = 0

    def watched(request: Mapping[str, Any]) -> Answer:
        nonlocal most
        under_way.append(1)
        most = max(most, len(under_way))
        answer = slowly(request)
        under_way.pop()
        return answer

    under_way: list[int] = []
    with KimiSimulator(speed=0, responder=watched) as sim:
        sim.inject("chat", status=429, error_type="engine_overloaded_error", retry_after=1, times=8)
        round = chat(connect(sim), tmp_path, sim)
        round.ask(rows(24))
    assert round.answered == 24
    assert most > 2


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": True}, {"status": 504, "html": True}], ids=str)
def test_a_fault_that_passes_is_outlasted(connect: Connect, tmp_path: Path, fault: dict[str, Any]) -> None:
    with KimiSimulator(speed=0) as sim:
        sim.inject("chat", times=3, **fault)
        round = chat(connect(sim), tmp_path, sim)
        round.ask(rows(3))
    assert (round.answered, round.unfinished) == (3, "")


def test_an_answer_that_does_not_come_is_given_up_and_asked_for_again(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        hook = connect(sim, timeout=0.5)
        sim.inject("chat", hang_seconds=5)
        round = chat(hook, tmp_path, sim, seconds=0.5)
        round.ask(rows(2))
    assert round.answered == 2


def test_a_platform_that_is_down_is_not_asked_for_every_row(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        sim.inject("chat", status=503, times=None)
        round = chat(connect(sim), tmp_path, sim)
        round.ask(rows(100))
        assert len(names(sim)) < 100
    assert round.answered == 0
    assert (
        "The other rows were not asked, and a clear of this task asks only for them. Kimi refused" in round.unfinished
    )
    assert kept(tmp_path) == []


def test_a_row_that_the_content_filter_refuses_is_done(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        sim.inject("chat", status=400, error_type="content_filter", message="high risk")
        round = chat(connect(sim), tmp_path, sim)
        round.ask(rows(3))
        assert len(names(sim)) == 3
    assert (round.answered, round.refused, round.unfinished) == (2, 1, "")
    assert sorted(kept(tmp_path)) == ["r0", "r1", "r2"]


def test_a_kill_ends_the_calls_and_keeps_what_was_answered(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, responder=slowly) as sim:
        round = chat(connect(sim), tmp_path, sim, at_once=2, is_killed=lambda: len(names(sim)) >= 4)
        with pytest.raises(KimiStoppedError, match="A retry or a clear of this task asks only the others"):
            round.ask(rows(50))
        assert len(kept(tmp_path)) == sim.chat_usage["calls"] < 8


def test_a_storage_that_refuses_an_answer_ends_the_calls(connect: Connect, tmp_path: Path) -> None:
    class Full(OutputDirectory):
        def write(self, name: str, content: bytes, *, beside: str = "") -> None:
            if content.count(b"\n") > 2:
                raise OSError("no space left")
            super().write(name, content, beside=beside)

    with KimiSimulator(speed=0, responder=slowly) as sim:
        round = chat(connect(sim), tmp_path, sim, at_once=1)
        round.parts = AnswerParts(Full(str(tmp_path)), ".kimi-chat-a-")
        with pytest.raises(OSError, match="no space left"):
            round.ask(rows(50))
        assert sim.chat_usage["calls"] == 3


def test_many_answers_are_kept_in_few_files_of_which_a_cut_one_costs_a_line(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0, responder=lambda request: Answer("x" * 20_000)) as sim:
        chat(connect(sim), tmp_path, sim).ask(rows(40))
    parts = list(tmp_path.glob(".kimi-chat-*.jsonl"))
    assert 2 <= len(parts) <= 6
    assert len(kept(tmp_path)) == 40
    parts[0].write_bytes(parts[0].read_bytes()[:-1000])
    assert len(kept(tmp_path)) == 39
    assert all(json.loads(line)["realtime"]["batch_id"] == "batch_1" for line in parts[1].read_bytes().splitlines())


def test_an_execution_timeout_keeps_what_was_answered(connect: Connect, tmp_path: Path) -> None:
    class Overdue(BaseException):
        """Raised by a signal handler, as Airflow does it."""

    def interrupt(*_: object) -> None:
        raise Overdue

    with KimiSimulator(speed=0, responder=slowly) as sim:
        hook = connect(sim)
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            round = chat(hook, tmp_path, sim, at_once=2)
            signal.setitimer(signal.ITIMER_REAL, 0.5, 5.0)  # again, if it came where nothing can be raised
            with pytest.raises(Overdue):
                round.ask(rows(500))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert 0 < len(kept(tmp_path)) == round.answered < 500
        assert sim.chat_usage["calls"] - round.answered <= 2
