"""The thread of a kill: it works beside the code that it interrupts, and comes to its end."""

import threading

from airflow_provider_kimi.kills.thread import Kill
from tests.support.logs import LogRecord


def test_a_kill_works_while_the_interrupted_code_holds_what_it_needs() -> None:
    """A signal handler that did the work itself would wait for ever."""
    lock, done = threading.Lock(), threading.Event()

    def work(kill: Kill) -> None:
        with lock:
            done.set()

    with Kill(work, LogRecord()) as kill:
        with lock:
            kill.begin()
            assert not done.is_set()
        assert done.wait(5)


def test_a_kill_waits_for_the_answer_that_the_interrupted_code_waits_for() -> None:
    made: list[str] = []
    cancelled: list[str] = []

    def work(kill: Kill) -> None:
        assert kill.is_over(5)
        cancelled.extend(made)

    with Kill(work, LogRecord()) as kill:
        kill.begin()
        made.append("a")
    assert cancelled == ["a"]


def test_a_kill_that_comes_after_the_code_is_over_is_worked_off_at_once() -> None:
    worked: list[bool] = []
    kill = Kill(lambda kill: worked.append(kill.is_over(0)), LogRecord())
    with kill:
        pass
    kill.begin()
    kill.begin()
    assert worked == [True]


def test_a_kill_logs_what_kept_it_from_its_work() -> None:
    def work(kill: Kill) -> None:
        raise ConnectionError("the API server is away")

    log = LogRecord()
    with Kill(work, log) as kill:
        kill.begin()
    assert "goes on and is billed: the API server is away" in log.warnings[0]
