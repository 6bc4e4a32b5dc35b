"""The watcher on simulated time: how often a platform is polled, and that no wait is forgotten."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiApiError, KimiNoAnswerError
from airflow_provider_kimi.waiting.schedule import NEVER
from airflow_provider_kimi.waiting.sweep import most_requests
from tests.support.time_lapse import HOUR, MINUTE, NOW, TimeLapse, Wait, longest_gap, names


class TestTheDefaultPace:
    def test_the_pace_of_one_batch_begins_with_the_tier_and_ends_at_a_poll_a_minute(self) -> None:
        lapse = TimeLapse()
        wait = lapse.wait("batch_0")
        lapse.pass_by(10 * HOUR)
        times = wait.notified["batch_0"]
        assert times[1] - times[0] == 20, "three a minute"
        assert longest_gap(times[-10:]) == MINUTE

    def test_the_pace_of_a_thousand_waits_is_what_the_lowest_tier_allows(self) -> None:
        lapse = TimeLapse()
        waits = [lapse.wait(name) for name in names(1000)]
        lapse.pass_by(6 * HOUR)
        assert len(lapse.calls) <= 6 * 60 * 3 + most_requests(1000)
        gaps = [longest_gap([NOW, *times]) for wait in waits for times in wait.notified.values()]
        assert len(gaps) == 1000
        assert max(gaps) <= 4 * MINUTE + 1, "a sweep of twelve requests takes four minutes of the budget"

    def test_waits_use_all_of_a_request_budget_and_no_more(self) -> None:
        lapse = TimeLapse(requests_per_minute=30)
        for name in names(1000):
            lapse.wait(name, every=5)
        lapse.pass_by(HOUR)
        assert 0.9 * 60 * 30 <= len(lapse.calls) <= 60 * 30 + most_requests(1000)


class TestAPauseOfTheUser:
    def test_a_pause_of_the_user_is_kept_with_a_request_for_a_hundred_waits(self) -> None:
        lapse = TimeLapse()
        waits = [lapse.wait(name, every=5) for name in names(1000)]
        lapse.pass_by(MINUTE)
        assert max(Counter(lapse.calls).values()) <= 12
        assert all(longest_gap(times) == 5 for wait in waits for times in wait.notified.values())

    def test_a_pause_of_the_user_does_not_speed_up_the_polls_for_others_beyond_the_tier(self) -> None:
        """The one with a pause pays for its own polls; the rest keeps to three requests a minute."""
        lapse = TimeLapse()
        own = lapse.wait("own", every=5)
        lapse.newest_first = [*names(300, "someone_elses"), "own"]
        others = [lapse.wait(name) for name in names(300)]
        lapse.pass_by(HOUR)
        assert longest_gap(own.notified["own"]) == 5
        assert len(lapse.calls) <= 3600 / 5 + 60 * 3 + most_requests(301)
        assert max(longest_gap(times) for wait in others for times in wait.notified.values()) <= 3 * MINUTE

    def test_batches_that_no_page_shows_are_polled_in_turn(self) -> None:
        lapse = TimeLapse()
        waits = [lapse.wait(name, every=20) for name in names(9)]
        lapse.newest_first = names(1000, "someone_elses")
        lapse.pass_by(10 * MINUTE)
        polls = [len(times) for wait in waits for times in wait.notified.values()]
        assert len(polls) == 9
        assert max(polls) - min(polls) <= 1

    def test_waits_with_one_pause_that_started_apart_are_polled_together(self) -> None:
        lapse = TimeLapse()
        lapse.wait("batch_0", every=10)
        lapse.wait("batch_1", every=10, first_at=NOW + 4)
        lapse.pass_by(MINUTE)
        lapse.calls.clear()
        lapse.pass_by(MINUTE)
        assert len(set(lapse.calls)) == 6

    def test_a_pause_longer_than_ours_does_not_lift_the_limit_for_a_batch_that_two_wait_for(self) -> None:
        lapse = TimeLapse()
        lapse.wait("batch_0", every=3600)
        lapse.newest_first.clear()
        lapse.wait("batch_0")
        lapse.pass_by(HOUR)
        assert lapse.most_calls_in(MINUTE) <= 4

    def test_of_two_pauses_for_one_batch_the_shorter_counts(self) -> None:
        lapse = TimeLapse()
        lapse.wait("batch_0", every=60)
        lapse.newest_first.clear()
        eager = lapse.wait("batch_0", every=7)
        lapse.pass_by(10 * MINUTE)
        assert longest_gap(eager.notified["batch_0"]) == 7


class TestNoWaitIsForgotten:
    """Whatever the list shows, and whatever fails: every wait has its turn."""

    def gaps(self, lapse: TimeLapse, waits: list[Wait]) -> list[float]:
        assert all(wait.notified for wait in waits), "each was notified"
        return [longest_gap([NOW, *times]) for wait in waits for times in wait.notified.values()]

    @pytest.mark.parametrize("every", [None, 60.0])
    def test_no_wait_is_forgotten_among_batches_of_others_of_which_a_sweep_shows_a_few(
        self, every: float | None
    ) -> None:
        lapse = TimeLapse()
        waits = [lapse.wait(f"batch_{number}", every=every) for number in range(91)]
        lapse.newest_first = [
            f"batch_{90 - number // 11}" if number % 11 == 0 else f"other_{number}" for number in range(91 * 11)
        ]
        lapse.pass_by(2 * HOUR)
        assert max(self.gaps(lapse, waits)) <= 15 * MINUTE

    def test_no_wait_is_forgotten_where_the_platform_refuses_the_fourth_request_of_a_minute(self) -> None:
        lapse = TimeLapse(limit=3)
        waits = [lapse.wait(name) for name in names(400)]
        lapse.pass_by(2 * HOUR)
        assert max(self.gaps(lapse, waits)) <= 15 * MINUTE

    @pytest.mark.parametrize("every", [None, 20.0])
    @pytest.mark.parametrize("is_listed", [True, False])
    def test_no_wait_is_forgotten_behind_a_batch_that_always_fails(
        self, every: float | None, *, is_listed: bool
    ) -> None:
        lapse = TimeLapse(broken={"broken"})
        waits = [lapse.wait(name, every=every) for name in names(8)]
        lapse.wait("broken", every=every)
        lapse.newest_first = ["broken", *names(8)] if is_listed else names(1000, "someone_elses")
        lapse.pass_by(HOUR)
        assert max(self.gaps(lapse, waits)) <= 10 * MINUTE

    def test_no_wait_is_forgotten_behind_a_batch_whose_answer_fails_in_an_unforeseen_way(self) -> None:
        lapse = TimeLapse(odd={"odd"})
        good, odd = lapse.wait("good", every=5), lapse.wait("odd", every=5)
        lapse.pass_by(HOUR)
        assert max(self.gaps(lapse, [good])) <= 10
        assert isinstance(odd.known["odd"], KimiNoAnswerError)
        assert "RuntimeError" in str(odd.known["odd"])

    @pytest.mark.parametrize("every", [None, 20.0])
    @pytest.mark.parametrize("count", [12, 1000])
    def test_no_wait_is_forgotten_where_the_platform_has_no_list(self, count: int, every: float | None) -> None:
        """Then each is read singly, a sweep's requests at a time."""
        lapse = TimeLapse(has_no_list=True)
        waits = [lapse.wait(name, every=every) for name in names(count)]
        requests = most_requests(count)
        sweeps = count / (requests - 1)  # one request each for the list
        lapse.pass_by(1.2 * sweeps * (every or 20 * requests) + MINUTE)
        assert all(wait.notified for wait in waits)


class TestMoments:
    def test_a_moment_at_which_the_time_decides_is_polled_though_the_budget_is_spent(self) -> None:
        lapse = TimeLapse()
        for name in names(1000):
            lapse.wait(name)
        late = lapse.wait("late", until=NOW + 100)
        lapse.pass_by(101)
        assert NOW + 100 in late.notified["late"]

    def test_moments_leave_the_budget_of_other_waits_as_it_is(self) -> None:
        lapse = TimeLapse()
        waits = [
            lapse.wait(name, until=NOW + 10 * number if number < 120 else NEVER)
            for number, name in enumerate(names(1000))
        ]
        lapse.pass_by(HOUR)
        assert len(lapse.calls) <= 60 * 3 + most_requests(1000) + 120
        assert max(longest_gap(times) for wait in waits for times in wait.notified.values()) <= 4 * MINUTE + 20

    def test_a_moment_is_not_forgotten_by_a_sweep_that_showed_nothing_of_the_batch(self) -> None:
        """The list shows none of them, and a sweep has requests for one or two only."""
        lapse = TimeLapse()
        last = lapse.wait("last", every=20, until=NOW + 33)
        for name in names(8):
            lapse.wait(name, every=20)
        lapse.newest_first = names(1000, "someone_elses")
        lapse.pass_by(32)
        assert last.notified == {}, "or this would show nothing"
        lapse.pass_by(1)
        assert NOW + 33 in lapse.calls
        lapse.pass_by(10)
        assert last.notified

    def test_a_moment_of_many_batches_is_kept_for_all_of_them(self) -> None:
        """They are on no first page, and a sweep has two requests for ten of them."""
        lapse = TimeLapse()
        late = lapse.wait(*names(10, "late"), first_at=NOW + HOUR, until=NOW + 100)
        for name in names(1000):
            lapse.wait(name)
        lapse.pass_by(99)
        lapse.pass_by(20)
        assert all(times[-1] >= NOW + 100 for times in late.notified.values())
        assert len(late.notified) == 10

    def test_a_moment_of_a_wait_that_was_not_notified_of_an_end_is_kept(self) -> None:
        lapse = TimeLapse()
        first = lapse.wait("batch_0", every=5)
        lapse.newest_first.clear()
        seldom = lapse.wait("batch_0", every=3600, first_at=NOW + HOUR, until=NOW + 100)
        lapse.ended.add("batch_0")
        lapse.pass_by(50)
        lapse.leave(first)
        seldom.notified.clear()
        lapse.pass_by(51)
        assert seldom.notified == {"batch_0": [NOW + 100]}

    def test_a_wait_is_not_polled_before_its_first_poll_is_due(self) -> None:
        lapse = TimeLapse()
        lapse.wait("early")
        later = lapse.wait("later", first_at=NOW + 500)
        lapse.newest_first.remove("later")
        lapse.pass_by(499)
        assert later.notified == {}
        lapse.pass_by(30)
        assert later.notified["later"][0] >= NOW + 500

    def test_a_wait_makes_no_sweep_before_its_first_poll_though_a_page_has_shown_its_batch(self) -> None:
        lapse = TimeLapse()
        for name in names(5):
            lapse.wait(name, every=300)
        lapse.wait("later", every=5, first_at=NOW + 500)
        lapse.pass_by(499)
        assert set(lapse.calls) == {NOW, NOW + 300}

    def test_the_first_poll_of_one_wait_postpones_no_other(self) -> None:
        lapse = TimeLapse()
        wait = lapse.wait("batch_0", every=5)
        lapse.newest_first.clear()
        lapse.wait("batch_0", every=5, first_at=NOW + 500)
        lapse.pass_by(MINUTE)
        assert longest_gap(wait.notified["batch_0"]) == 5


def test_a_batch_that_has_ended_is_not_polled_again_unless_another_wait_asks_for_it() -> None:
    lapse = TimeLapse()
    lapse.wait("batch_0", every=5)
    lapse.ended.add("batch_0")
    lapse.pass_by(HOUR)
    assert len(lapse.calls) == 1
    new = lapse.wait("batch_0", every=5, first_at=lapse.now)
    lapse.pass_by(1)
    assert new.notified == {"batch_0": [NOW + HOUR]}
    lapse.is_out = True
    newer = lapse.wait("batch_0", every=5, first_at=lapse.now)
    lapse.pass_by(1)
    assert newer.known == {"batch_0": lapse.batch("batch_0")}, "it has ended, whatever happens to a later poll"


def test_the_batch_of_a_wait_that_leaves_is_polled_no_more() -> None:
    lapse = TimeLapse()
    gone, stays = lapse.wait("gone", every=5), lapse.wait("stays", every=5)
    lapse.pass_by(6)
    lapse.leave(gone)
    lapse.pass_by(10)
    assert len(gone.notified["gone"]) == 2
    assert len(stays.notified["stays"]) == 4
    lapse.leave(stays)
    assert lapse.schedule.next_at() == NEVER


@given(
    waits=st.lists(
        st.tuples(
            st.sets(st.integers(0, 150), min_size=1, max_size=40),
            st.none() | st.floats(5, 600),
            st.floats(0, 900),
            st.floats(0, 2000),
        ),
        min_size=1,
        max_size=12,
    ),
    requests_per_minute=st.none() | st.floats(1, 200),
)
@settings(max_examples=30)
def test_whatever_waits_there_are_the_budget_holds_and_each_is_notified(
    waits: list[tuple[set[int], float | None, float, float]], requests_per_minute: float | None
) -> None:
    lapse = TimeLapse(requests_per_minute=requests_per_minute)
    begun = [
        lapse.wait(
            *(f"batch_{number}" for number in sorted(numbers)), every=every, first_at=NOW + late, until=NOW + end
        )
        for numbers, every, late, end in waits
    ]
    lapse.newest_first = sorted(lapse.schedule.watched, reverse=True)
    lapse.pass_by(HOUR)
    for wait in begun:
        assert wait.notified.keys() == set(wait.watch.batch_ids)
    if requests_per_minute is not None or all(every is None for _, every, _, _ in waits):
        allowed = requests_per_minute or 3
        round_, moments = most_requests(len(lapse.schedule.watched)), len(waits)
        assert lapse.most_calls_in(10 * MINUTE) <= 10 * allowed + round_ * (1 + moments) + 1


def test_a_wait_that_begins_again_does_not_inherit_the_doubt_of_an_earlier_one() -> None:
    lapse = TimeLapse()
    lapse.wait("other", every=5)
    lapse.unknown.add("batch_0")
    first = lapse.wait("batch_0", every=5)
    lapse.sweep_next()
    lapse.leave(first)
    again = lapse.wait("batch_0", every=5, first_at=lapse.now)
    lapse.sweep_next()
    assert isinstance(again.known["batch_0"], KimiApiError), "since when it lasts is for the wait to say"
    lapse.unknown.clear()
    lapse.pass_by(20)
    assert isinstance(again.known["batch_0"], Batch)
