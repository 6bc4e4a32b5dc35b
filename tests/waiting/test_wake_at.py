"""When a wait that shares the polls of a watcher goes on."""

import pytest

from airflow_provider_kimi.waiting.schedule import NEVER
from airflow_provider_kimi.waiting.watcher import wake_at

NOW, LATER, LATE = 1000.0, 1100.0, 1160.0


@pytest.mark.parametrize("unread", [set(), {"a"}], ids=["all read", "one unread"])
def test_news_before_the_deadline_wakes_a_wait_at_once(unread: set[str]) -> None:
    assert wake_at(NOW, LATER, LATE, NEVER, unread, has_news=True) == NOW


@pytest.mark.parametrize(("log_at", "expected"), [(NEVER, LATE), (LATER, LATER), (NOW - 1, NOW - 1)])
def test_without_news_a_wait_goes_on_when_it_has_something_to_log(log_at: float, expected: float) -> None:
    assert wake_at(NOW, LATER, LATE, log_at, {"a"}, has_news=False) == expected


@pytest.mark.parametrize("has_news", [False, True])
@pytest.mark.parametrize("log_at", [NEVER, NOW])
def test_at_its_deadline_a_wait_goes_on_only_once_each_batch_was_read_again(has_news: bool, log_at: float) -> None:
    assert wake_at(NOW, NOW, LATE, log_at, {"a"}, has_news) == LATE


def test_at_its_deadline_a_wait_goes_on_at_once_when_each_batch_was_read_again() -> None:
    assert wake_at(NOW, NOW, LATE, NEVER, set(), has_news=True) == NOW


def test_a_wait_whose_batches_have_all_ended_goes_on_at_its_time() -> None:
    assert wake_at(NOW, LATER, LATE, NEVER, set(), has_news=False) == LATER


def test_a_wait_goes_on_long_after_its_deadline_though_a_batch_was_not_read() -> None:
    assert wake_at(LATE, NOW, LATE, NEVER, {"a"}, has_news=False) == LATE


def test_a_wait_without_a_deadline_sleeps_until_there_is_news() -> None:
    assert wake_at(NOW, NEVER, NEVER, NEVER, {"a"}, has_news=False) == NEVER
