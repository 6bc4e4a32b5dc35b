"""Which batches of other people have ended since the last look."""

from airflow_provider_kimi.account.news import Mark, carries, news_of
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.waiting.decision import CLOCK_MARGIN_SECONDS
from tests.support.samples import make_batch

NOW = 1_757_000_000


def told(mark: Mark, *looks: list[Batch]) -> list[list[str]]:
    """Which batches each look tells, a minute apart."""
    found = []
    for number, look in enumerate(looks):
        news, mark = news_of(look, mark, NOW + 60 * number)
        found.append([batch.id for batch in news])
    return found


def completed(batch_id: str, at: int | None) -> Batch:
    return make_batch("completed", batch_id, completed_at=at)


def test_one_that_was_told_and_is_on_no_page_for_a_while_is_not_told_again() -> None:
    running, ended = make_batch("in_progress", "a"), completed("a", NOW + 30)
    assert told(Mark(NOW), [running], [ended], [], [ended]) == [[], ["a"], [], []]


def test_one_that_ran_before_is_told_once() -> None:
    running, ended = make_batch("in_progress", "a"), completed("a", NOW + 30)
    assert told(Mark(NOW), [running], [ended], [ended], [ended]) == [[], ["a"], [], []]


def test_one_that_came_and_went_between_two_looks_is_told() -> None:
    assert told(Mark(NOW), [], [completed("a", NOW + 30)]) == [[], ["a"]]


def test_one_that_ended_before_anybody_looked_is_no_news() -> None:
    assert told(Mark(NOW), [completed("old", NOW - 7200)]) == [[]]


def test_one_without_a_time_is_told_if_it_was_seen_running() -> None:
    assert told(Mark(NOW), [completed("a", None)]) == [[]]
    assert told(Mark(NOW), [make_batch("finalizing", "a")], [completed("a", None)]) == [[], ["a"]]


def test_one_that_was_not_shown_for_a_while_is_not_forgotten() -> None:
    assert told(Mark(NOW), [make_batch("in_progress", "a")], [], [completed("a", NOW + 90)]) == [[], [], ["a"]]


def test_a_restart_tells_what_ended_meanwhile_and_nothing_again() -> None:
    running = [make_batch("in_progress", "a"), make_batch("in_progress", "b")]
    _, mark = news_of([*running, completed("c", NOW)], Mark(NOW - 60), NOW)
    kept = Mark.from_dict(mark.to_dict())
    assert kept == mark
    later = [completed(name, NOW + 3600) for name in "abd"]
    news, mark = news_of([*later, completed("c", NOW)], kept, NOW + 7200)
    assert [batch.id for batch in news] == ["a", "b", "d"]
    assert mark.running == frozenset()


def test_what_is_kept_does_not_grow() -> None:
    mark = Mark(NOW)
    for number in range(1000):
        now = NOW + 60 * number
        _, mark = news_of([completed(f"b{number}", now)], mark, now)
    assert len(mark.told) <= CLOCK_MARGIN_SECONDS / 60 + 1


def test_metadata_selects() -> None:
    batch = make_batch(metadata={"team": "reviews", "more": "1"})
    assert carries(batch, {})
    assert carries(batch, {"team": "reviews"})
    assert not carries(batch, {"team": "other"})
    assert not carries(make_batch(), {"team": "reviews"})


def test_a_mark_that_a_development_version_stored_is_read() -> None:
    """T32."""
    mark = Mark.from_dict({"since": NOW, "running": ["b"], "told": ["a"]})
    assert told(mark, [completed("a", NOW + 10)], [completed("b", NOW + 20)]) == [[], ["b"]]
    assert Mark.from_dict(mark.to_dict()) == mark
