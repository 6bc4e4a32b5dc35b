"""Polls while the platform fails, refuses the key, or does not know a batch."""

from __future__ import annotations

import pytest

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.waiting.pace import MAX_FAULT_PAUSE_SECONDS, MAX_RETRY_AFTER_SECONDS
from tests.support.time_lapse import HOUR, MINUTE, NOW, TimeLapse, longest_gap, names


class TestFaults:
    def test_hours_of_faults_are_polled_seldom_and_the_first_answer_ends_them(self) -> None:
        lapse = TimeLapse()
        wait = lapse.wait("batch_0", every=5)
        lapse.pass_by(MINUTE)
        lapse.is_out = True
        before = len(lapse.calls)
        lapse.pass_by(6 * HOUR)
        assert len(lapse.calls) - before <= 6 * 3600 / 25 + 10
        lapse.is_out = False
        healed = lapse.now
        lapse.pass_by(MAX_FAULT_PAUSE_SECONDS)
        assert any(time >= healed for time in wait.notified["batch_0"])
        assert longest_gap([time for time in wait.notified["batch_0"] if time > healed]) == 5

    def test_hours_of_faults_slow_down_our_own_pace_too(self) -> None:
        lapse = TimeLapse()
        lapse.wait("batch_0")
        lapse.pass_by(HOUR)
        lapse.is_out = True
        lapse.calls.clear()
        lapse.pass_by(6 * HOUR)
        assert len(lapse.calls) <= 6 * HOUR / MAX_FAULT_PAUSE_SECONDS + 6

    def test_a_fault_at_a_moment_is_followed_by_another_poll_before_it_is_too_late(self) -> None:
        lapse = TimeLapse()
        wait = lapse.wait("batch_0", every=3600, until=NOW + 1000)
        lapse.pass_by(999)
        lapse.is_out = True
        lapse.pass_by(5)
        lapse.is_out = False
        lapse.pass_by(55)
        assert wait.notified["batch_0"][-1] > NOW + 1000

    def test_faults_of_a_wait_that_polls_seldom_hold_no_other_up(self) -> None:
        lapse = TimeLapse()
        lapse.wait("seldom", every=3600)
        lapse.is_out = True
        lapse.pass_by(1)
        lapse.is_out = False
        often = lapse.wait("often", every=5, first_at=lapse.now)
        lapse.pass_by(2 * MAX_FAULT_PAUSE_SECONDS)
        assert longest_gap([NOW, *often.notified["often"]]) <= MAX_FAULT_PAUSE_SECONDS

    @pytest.mark.parametrize(("asked", "pause"), [(120.0, 120.0), (86_400.0, MAX_RETRY_AFTER_SECONDS)])
    def test_a_pause_that_the_platform_asks_for_holds_for_every_wait(self, asked: float, pause: float) -> None:
        lapse = TimeLapse()
        for name in names(10):
            lapse.wait(name, every=5, until=NOW + 30)
        lapse.is_out, lapse.retry_after = True, asked
        lapse.pass_by(1)
        refused = lapse.calls[-1]
        lapse.pass_by(pause + 1)
        assert [call for call in lapse.calls if refused < call < refused + pause] == []
        assert refused + pause in lapse.calls


@pytest.mark.parametrize("every", [None, 20.0])
@pytest.mark.parametrize("count", [1, 2, 5, 99, 1000])
def test_a_refused_key_takes_two_requests_of_a_sweep_and_every_wait_learns_of_it(
    count: int, every: float | None
) -> None:
    lapse = TimeLapse(is_key_refused=True)
    waits = [lapse.wait(name, every=every) for name in names(count)]
    lapse.sweep_next()
    assert all(isinstance(wait.known.get(name), KimiApiError) for wait, name in zip(waits, names(count), strict=True))
    assert len(lapse.calls) <= 2
    lapse.pass_by(10 * MINUTE)
    assert len(lapse.calls) <= 2 * 60
    lapse.is_key_refused = False
    lapse.pass_by(5 * MINUTE + 60)
    assert all(isinstance(wait.known[name], Batch) for wait, name in zip(waits, names(count), strict=True))


def test_a_moment_to_decide_by_while_a_batch_is_unknown_brings_no_storm_of_polls() -> None:
    lapse = TimeLapse(unknown={"batch_0"})
    lapse.wait("batch_0", every=20, until=NOW + 30)
    lapse.pass_by(5 * MINUTE)
    assert NOW + 30 in lapse.calls
    assert len(lapse.calls) <= 20


def test_a_batch_that_is_unknown_for_minutes_takes_no_turn_from_the_others() -> None:
    lapse = TimeLapse(unknown={"batch_9"})
    waits = [lapse.wait(name, every=20) for name in names(10)]
    lapse.newest_first.remove("batch_9")
    lapse.pass_by(5 * MINUTE)
    assert all(len(wait.notified[name]) >= 10 for wait, name in zip(waits, names(10), strict=True) if name != "batch_9")
