"""The schedule on simulated time: how often a platform is asked, and that nobody is forgotten."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiApiError, KimiNoAnswerError
from airflow_provider_kimi.waiting.pace import MAX_FAULT_PAUSE_SECONDS, MAX_RETRY_AFTER_SECONDS
from airflow_provider_kimi.waiting.schedule import NEVER
from airflow_provider_kimi.waiting.sweep import (
    most_requests,
)
from tests.support.days import HOUR, MINUTE, NOW, Days, Wait


def names(count: int, prefix: str = "batch") -> list[str]:
    return [f"{prefix}_{number}" for number in range(count)]


def longest_gap(times: list[float]) -> float:
    return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


class TestTheDefaultPace:
    def test_of_one_batch_begins_with_the_tier_and_ends_at_a_look_a_minute(self) -> None:
        days = Days()
        wait = days.wait("batch_0")
        days.pass_by(10 * HOUR)
        times = wait.told["batch_0"]
        assert times[1] - times[0] == 20, "three a minute"
        assert longest_gap(times[-10:]) == MINUTE

    def test_of_a_thousand_waits_is_what_the_lowest_tier_allows(self) -> None:
        days = Days()
        waits = [days.wait(name) for name in names(1000)]
        days.pass_by(6 * HOUR)
        assert len(days.calls) <= 6 * 60 * 3 + most_requests(1000)
        gaps = [longest_gap([NOW, *times]) for wait in waits for times in wait.told.values()]
        assert len(gaps) == 1000
        assert max(gaps) <= 4 * MINUTE + 1, "a round of twelve requests takes four minutes of the budget"

    def test_fills_a_budget_that_is_given_and_keeps_to_it(self) -> None:
        days = Days()
        days.schedule.requests_per_minute = 30
        for name in names(1000):
            days.wait(name, every=5)
        days.pass_by(HOUR)
        assert 0.9 * 60 * 30 <= len(days.calls) <= 60 * 30 + most_requests(1000)


class TestAnIntervalOfTheUser:
    def test_is_kept_to_with_a_request_for_a_hundred_waits(self) -> None:
        days = Days()
        waits = [days.wait(name, every=5) for name in names(1000)]
        days.pass_by(MINUTE)
        assert max(Counter(days.calls).values()) <= 12
        assert all(longest_gap(times) == 5 for wait in waits for times in wait.told.values())

    def test_does_not_speed_up_the_looks_for_others_beyond_the_tier(self) -> None:
        """The one with an interval pays for its own looks; the rest keeps to three requests a minute."""
        days = Days()
        own = days.wait("own", every=5)
        days.newest_first = [*names(300, "someone_elses"), "own"]
        others = [days.wait(name) for name in names(300)]
        days.pass_by(HOUR)
        assert longest_gap(own.told["own"]) == 5
        assert len(days.calls) <= 3600 / 5 + 60 * 3 + most_requests(301)
        assert max(longest_gap(times) for wait in others for times in wait.told.values()) <= 3 * MINUTE

    def test_is_shared_by_turns_where_the_list_does_not_show_them(self) -> None:
        days = Days()
        waits = [days.wait(name, every=20) for name in names(9)]
        days.newest_first = names(1000, "someone_elses")
        days.pass_by(10 * MINUTE)
        looks = [len(times) for wait in waits for times in wait.told.values()]
        assert len(looks) == 9
        assert max(looks) - min(looks) <= 1

    def test_brings_those_together_that_began_apart(self) -> None:
        days = Days()
        days.wait("batch_0", every=10)
        days.wait("batch_1", every=10, first_at=NOW + 4)
        days.pass_by(MINUTE)
        days.calls.clear()
        days.pass_by(MINUTE)
        assert len(set(days.calls)) == 6

    def test_that_is_longer_than_ours_does_not_lift_the_tier_s_limit_for_a_batch_that_two_wait_for(self) -> None:
        days = Days()
        days.wait("batch_0", every=3600)
        days.newest_first.clear()
        days.wait("batch_0")
        days.pass_by(HOUR)
        assert days.most_calls_in(MINUTE) <= 4

    def test_of_two_who_wait_for_one_batch_the_shorter_counts(self) -> None:
        days = Days()
        days.wait("batch_0", every=60)
        days.newest_first.clear()
        eager = days.wait("batch_0", every=7)
        days.pass_by(10 * MINUTE)
        assert longest_gap(eager.told["batch_0"]) == 7


class TestNobodyIsForgotten:
    """Whatever the list shows, and whatever fails: every wait has its turn."""

    def gaps(self, days: Days, waits: list[Wait]) -> list[float]:
        assert all(wait.told for wait in waits), "each was told something"
        return [longest_gap([NOW, *times]) for wait in waits for times in wait.told.values()]

    @pytest.mark.parametrize("every", [None, 60.0])
    def test_among_batches_of_others_of_which_a_round_shows_a_few(self, every: float | None) -> None:
        days = Days()
        waits = [days.wait(f"batch_{number}", every=every) for number in range(91)]
        days.newest_first = [
            f"batch_{90 - number // 11}" if number % 11 == 0 else f"other_{number}" for number in range(91 * 11)
        ]
        days.pass_by(2 * HOUR)
        assert max(self.gaps(days, waits)) <= 15 * MINUTE

    def test_by_a_platform_that_refuses_the_fourth_request_of_a_minute(self) -> None:
        days = Days(limit=3)
        waits = [days.wait(name) for name in names(400)]
        days.pass_by(2 * HOUR)
        assert max(self.gaps(days, waits)) <= 15 * MINUTE

    @pytest.mark.parametrize("every", [None, 20.0])
    @pytest.mark.parametrize("is_listed", [True, False])
    def test_behind_one_that_always_fails(self, every: float | None, *, is_listed: bool) -> None:
        days = Days(broken={"broken"})
        waits = [days.wait(name, every=every) for name in names(8)]
        days.wait("broken", every=every)
        days.newest_first = ["broken", *names(8)] if is_listed else names(1000, "someone_elses")
        days.pass_by(HOUR)
        assert max(self.gaps(days, waits)) <= 10 * MINUTE

    def test_behind_one_whose_answer_fails_in_an_unforeseen_way(self) -> None:
        days = Days(odd={"odd"})
        good, odd = days.wait("good", every=5), days.wait("odd", every=5)
        days.pass_by(HOUR)
        assert max(self.gaps(days, [good])) <= 10
        assert isinstance(odd.known["odd"], KimiNoAnswerError)
        assert "RuntimeError" in str(odd.known["odd"])

    @pytest.mark.parametrize("every", [None, 20.0])
    @pytest.mark.parametrize("count", [12, 1000])
    def test_by_a_platform_that_has_no_list(self, count: int, every: float | None) -> None:
        """Then each is read singly, a round's requests at a time."""
        days = Days(has_no_list=True)
        waits = [days.wait(name, every=every) for name in names(count)]
        requests = most_requests(count)
        rounds = count / (requests - 1)  # one request each for the list
        days.pass_by(1.2 * rounds * (every or 20 * requests) + MINUTE)
        assert all(wait.told for wait in waits)


class TestMoments:
    def test_at_which_the_time_alone_decides_are_looked_at_though_the_budget_is_spent(self) -> None:
        days = Days()
        for name in names(1000):
            days.wait(name)
        late = days.wait("late", until=NOW + 100)
        days.pass_by(101)
        assert NOW + 100 in late.told["late"]

    def test_leave_the_budget_of_the_others_as_it_is(self) -> None:
        days = Days()
        waits = [
            days.wait(name, until=NOW + 10 * number if number < 120 else NEVER)
            for number, name in enumerate(names(1000))
        ]
        days.pass_by(HOUR)
        assert len(days.calls) <= 60 * 3 + most_requests(1000) + 120
        assert max(longest_gap(times) for wait in waits for times in wait.told.values()) <= 4 * MINUTE + 20

    def test_are_not_forgotten_by_a_round_that_showed_nothing_of_the_batch(self) -> None:
        """The list shows none of them, and a round has requests for one or two only."""
        days = Days()
        last = days.wait("last", every=20, until=NOW + 33)
        for name in names(8):
            days.wait(name, every=20)
        days.newest_first = names(1000, "someone_elses")
        days.pass_by(32)
        assert last.told == {}, "or this would show nothing"
        days.pass_by(1)
        assert NOW + 33 in days.calls
        days.pass_by(10)
        assert last.told

    def test_of_many_batches_are_kept_for_all_of_them(self) -> None:
        """They are on no first page, and a round has two requests for ten of them."""
        days = Days()
        late = days.wait(*names(10, "late"), first_at=NOW + HOUR, until=NOW + 100)
        for name in names(1000):
            days.wait(name)
        days.pass_by(99)
        days.pass_by(20)
        assert all(times[-1] >= NOW + 100 for times in late.told.values())
        assert len(late.told) == 10

    def test_of_a_wait_that_was_not_told_of_an_end_are_kept(self) -> None:
        days = Days()
        first = days.wait("batch_0", every=5)
        days.newest_first.clear()
        seldom = days.wait("batch_0", every=3600, first_at=NOW + HOUR, until=NOW + 100)
        days.ended.add("batch_0")
        days.pass_by(50)
        days.schedule.remove(first)
        seldom.told.clear()
        days.pass_by(51)
        assert seldom.told == {"batch_0": [NOW + 100]}

    def test_before_its_first_look_a_wait_is_left_alone(self) -> None:
        days = Days()
        days.wait("early")
        later = days.wait("later", first_at=NOW + 500)
        days.newest_first.remove("later")
        days.pass_by(499)
        assert later.told == {}
        days.pass_by(30)
        assert later.told["later"][0] >= NOW + 500

    def test_before_it_makes_no_round_though_a_page_has_shown_its_batch(self) -> None:
        days = Days()
        for name in names(5):
            days.wait(name, every=300)
        days.wait("later", every=5, first_at=NOW + 500)
        days.pass_by(499)
        assert set(days.calls) == {NOW, NOW + 300}

    def test_of_one_wait_postpone_nobody_elses(self) -> None:
        days = Days()
        wait = days.wait("batch_0", every=5)
        days.newest_first.clear()
        days.wait("batch_0", every=5, first_at=NOW + 500)
        days.pass_by(MINUTE)
        assert longest_gap(wait.told["batch_0"]) == 5


class TestFaults:
    def test_hours_of_them_are_asked_seldom_and_the_first_answer_ends_them(self) -> None:
        days = Days()
        wait = days.wait("batch_0", every=5)
        days.pass_by(MINUTE)
        days.is_out = True
        before = len(days.calls)
        days.pass_by(6 * HOUR)
        assert len(days.calls) - before <= 6 * 3600 / 25 + 10
        days.is_out = False
        healed = days.now
        days.pass_by(MAX_FAULT_PAUSE_SECONDS)
        assert any(time >= healed for time in wait.told["batch_0"])
        assert longest_gap([time for time in wait.told["batch_0"] if time > healed]) == 5

    def test_hours_of_them_make_our_own_pace_slower_too(self) -> None:
        days = Days()
        days.wait("batch_0")
        days.pass_by(HOUR)
        days.is_out = True
        days.calls.clear()
        days.pass_by(6 * HOUR)
        assert len(days.calls) <= 6 * HOUR / MAX_FAULT_PAUSE_SECONDS + 6

    def test_at_a_moment_are_followed_by_another_look_before_it_is_too_late(self) -> None:
        days = Days()
        wait = days.wait("batch_0", every=3600, until=NOW + 1000)
        days.pass_by(999)
        days.is_out = True
        days.pass_by(5)
        days.is_out = False
        days.pass_by(55)
        assert wait.told["batch_0"][-1] > NOW + 1000

    def test_of_a_wait_that_looks_seldom_hold_nobody_else_up(self) -> None:
        days = Days()
        days.wait("seldom", every=3600)
        days.is_out = True
        days.pass_by(1)
        days.is_out = False
        often = days.wait("often", every=5, first_at=days.now)
        days.pass_by(2 * MAX_FAULT_PAUSE_SECONDS)
        assert longest_gap([NOW, *often.told["often"]]) <= MAX_FAULT_PAUSE_SECONDS

    @pytest.mark.parametrize(("asked", "pause"), [(120.0, 120.0), (86_400.0, MAX_RETRY_AFTER_SECONDS)])
    def test_a_pause_that_is_asked_for_holds_for_everybody(self, asked: float, pause: float) -> None:
        days = Days()
        for name in names(10):
            days.wait(name, every=5, until=NOW + 30)
        days.is_out, days.asked_seconds = True, asked
        days.pass_by(1)
        refused = days.calls[-1]
        days.pass_by(pause + 1)
        assert [call for call in days.calls if refused < call < refused + pause] == []
        assert refused + pause in days.calls


@pytest.mark.parametrize("every", [None, 20.0])
@pytest.mark.parametrize("count", [1, 2, 5, 99, 1000])
def test_a_refused_key_is_believed_by_the_second_round_however_many_wait(count: int, every: float | None) -> None:
    days = Days(is_key_refused=True)
    waits = [days.wait(name, every=every) for name in names(count)]
    first = days.schedule.next_at()
    while not any(wait.known for wait in waits):
        days.now = max(days.now, days.schedule.next_at())
        days.make_round()
    assert all(isinstance(wait.known.get(name), KimiApiError) for wait, name in zip(waits, names(count), strict=True))
    assert len(set(days.calls)) == 2
    assert days.now - first <= 20 * most_requests(count)


def test_a_batch_that_has_ended_is_not_asked_for_again_unless_somebody_new_waits_for_it() -> None:
    days = Days()
    days.wait("batch_0", every=5)
    days.ended.add("batch_0")
    days.pass_by(HOUR)
    assert len(days.calls) == 1
    new = days.wait("batch_0", every=5, first_at=days.now)
    days.pass_by(1)
    assert new.told == {"batch_0": [NOW + HOUR]}
    days.is_out = True
    newer = days.wait("batch_0", every=5, first_at=days.now)
    days.pass_by(1)
    assert newer.known == {"batch_0": days.look_at("batch_0")}, "it has ended, whatever happens to a later look"


def test_who_leaves_is_looked_at_no_more() -> None:
    days = Days()
    gone, stays = days.wait("gone", every=5), days.wait("stays", every=5)
    days.pass_by(6)
    days.schedule.remove(gone)
    days.pass_by(10)
    assert len(gone.told["gone"]) == 2
    assert len(stays.told["stays"]) == 4
    days.schedule.remove(stays)
    assert days.schedule.next_at() == NEVER


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
def test_whoever_waits_the_budget_holds_and_everybody_is_told(
    waits: list[tuple[set[int], float | None, float, float]], requests_per_minute: float | None
) -> None:
    days = Days()
    days.schedule.requests_per_minute = requests_per_minute
    begun = [
        days.wait(*(f"batch_{number}" for number in sorted(numbers)), every=every, first_at=NOW + late, until=NOW + end)
        for numbers, every, late, end in waits
    ]
    days.newest_first = sorted(days.schedule.watched, reverse=True)
    days.pass_by(HOUR)
    for wait in begun:
        assert wait.told.keys() == set(wait.watch.batch_ids)
    if requests_per_minute is not None or all(every is None for _, every, _, _ in waits):
        allowed = requests_per_minute or 3
        round_, moments = most_requests(len(days.schedule.watched)), len(waits)
        assert days.most_calls_in(10 * MINUTE) <= 10 * allowed + round_ * (1 + moments) + 1
