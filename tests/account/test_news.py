"""Which batches of other people have ended since the last poll."""

from airflow_provider_kimi.account.news import carries, news_of, report_of
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.mark import CLOCK_MARGIN_SECONDS, Mark
from tests.support.samples import make_batch

NOW = 1_757_000_000


def reported(mark: Mark, *polls: list[Batch]) -> list[list[str]]:
    """Which batches each poll reports, a minute apart."""
    found = []
    for number, poll in enumerate(polls):
        news, mark = news_of(poll, mark, NOW + 60 * number)
        found.append([batch.id for batch in news])
    return found


def completed(batch_id: str, at: int | None) -> Batch:
    return make_batch("completed", batch_id, completed_at=at)


def test_an_ended_batch_that_is_on_no_page_for_a_while_is_not_reported_again() -> None:
    running, ended = make_batch("in_progress", "a"), completed("a", NOW + 30)
    assert reported(Mark(NOW), [running], [ended], [], [ended]) == [[], ["a"], [], []]


def test_a_batch_that_was_seen_running_is_reported_once_when_it_ends() -> None:
    running, ended = make_batch("in_progress", "a"), completed("a", NOW + 30)
    assert reported(Mark(NOW), [running], [ended], [ended], [ended]) == [[], ["a"], [], []]


def test_a_batch_that_came_and_ended_between_two_polls_is_reported() -> None:
    assert reported(Mark(NOW), [], [completed("a", NOW + 30)]) == [[], ["a"]]


def test_a_batch_that_ended_before_the_first_poll_is_not_reported() -> None:
    assert reported(Mark(NOW), [completed("old", NOW - 7200)]) == [[]]


def test_a_batch_that_ended_at_an_unknown_time_is_reported_if_it_was_seen_running() -> None:
    assert reported(Mark(NOW), [completed("a", None)]) == [[]]
    assert reported(Mark(NOW), [make_batch("finalizing", "a")], [completed("a", None)]) == [[], ["a"]]


def test_a_running_batch_that_is_on_no_page_for_a_while_is_not_forgotten() -> None:
    assert reported(Mark(NOW), [make_batch("in_progress", "a")], [], [completed("a", NOW + 90)]) == [[], [], ["a"]]


def test_a_restart_reports_what_ended_meanwhile_and_nothing_again() -> None:
    running = [make_batch("in_progress", "a"), make_batch("in_progress", "b")]
    _, mark = news_of([*running, completed("c", NOW)], Mark(NOW - 60), NOW)
    kept = Mark.from_dict(mark.to_dict())
    assert kept == mark
    later = [completed(name, NOW + 3600) for name in "abd"]
    news, mark = news_of([*later, completed("c", NOW)], kept, NOW + 7200)
    assert [batch.id for batch in news] == ["a", "b", "d"]
    assert mark.running == frozenset()


def test_a_mark_does_not_grow_with_every_batch_that_ends() -> None:
    mark = Mark(NOW)
    for number in range(1000):
        now = NOW + 60 * number
        _, mark = news_of([completed(f"b{number}", now)], mark, now)
    assert len(mark.reported) <= CLOCK_MARGIN_SECONDS / 60 + 1


def test_a_batch_is_reported_only_if_it_carries_all_pairs_of_metadata() -> None:
    batch = make_batch(metadata={"team": "reviews", "more": "1"})
    assert carries(batch, {})
    assert carries(batch, {"team": "reviews"})
    assert not carries(batch, {"team": "other"})
    assert not carries(make_batch(), {"team": "reviews"})


def test_a_mark_that_a_development_version_stored_is_read() -> None:
    mark = Mark.from_dict({"since": NOW, "running": ["b"], "told": ["a"]})
    assert reported(mark, [completed("a", NOW + 10)], [completed("b", NOW + 20)]) == [[], ["b"]]
    assert Mark.from_dict(mark.to_dict()) == mark


def test_a_report_holds_nothing_that_airflow_cannot_store() -> None:
    report = report_of(make_batch(metadata={"team\x00": {"a": ["\x00"]}}))
    assert report["metadata"] == {"team\ufffd": {"a": ["\ufffd"]}}
