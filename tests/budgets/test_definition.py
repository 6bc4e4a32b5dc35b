"""What defines a budget, and into which window a time falls."""

from datetime import UTC, datetime

import pytest

from airflow_provider_kimi.budgets.definition import read_definition, read_name
from airflow_provider_kimi.exceptions import KimiInputError

RUN = ("reviews", "run_1")
NOW = datetime(2026, 11, 30, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (None, "there is no Airflow Variable kimi_budget_labels"),
        ("100", "does not define a budget"),
        ("{", "does not define a budget"),
        ('{"amount": 100}', "missing required field `per`"),
        ('{"amount": "much", "per": "day"}', "does not define a budget"),
        ('{"amount": 0, "per": "day"}', "its amount is not above zero"),
        ('{"amount": -1, "per": "day"}', "its amount is not above zero"),
        ('{"amount": 1, "per": "week"}', "Invalid enum value 'week'"),
        ('{"amount": 1, "per": "day", "zone": "UTC"}', "unknown field `zone`"),
        ('{"amount": 1, "per": "day", "timezone": "Mars/Olympus"}', "does not define a budget"),
        ('{"amount": 1, "per": "day", "timezone": "../UTC"}', "does not define a budget"),
        ('{"amount": 1, "per": "day", "currency": "USD"}', "is in USD, and the prices of this task are in CNY"),
    ],
)
def test_a_missing_or_wrong_budget_is_refused_with_what_to_write(stored: str | None, fault: str) -> None:
    with pytest.raises(KimiInputError) as refused:
        read_definition("labels", stored, "CNY")
    assert fault in str(refused.value)
    assert "Nothing was sent." in str(refused.value)


@pytest.mark.parametrize("given", ["a.b", "a b", "", "ä", "a" * 61, 7])
def test_a_name_that_no_variable_could_have_is_refused(given: object) -> None:
    if given == "":
        assert read_name(given, can_list=True) is None
        return
    with pytest.raises(KimiInputError, match="budget is .* it must be a name of 1 to 60 letters"):
        read_name(given, can_list=True)


def test_a_budget_is_refused_where_no_task_can_list_variables() -> None:
    assert read_name(None, can_list=False) is None
    with pytest.raises(KimiInputError, match=r"budget needs Airflow 2\.11, or 3\.3 and newer"):
        read_name("labels", can_list=False)


@pytest.mark.parametrize(
    ("per", "zone", "window", "end"),
    [
        ("day", "UTC", "day-2026-11-30-CNY", "until 2026-12-01 00:00 UTC"),
        ("day", "Asia/Shanghai", "day-2026-12-01-CNY", "until 2026-12-02 00:00 CST"),
        ("month", "UTC", "month-2026-11-CNY", "until 2026-12-01 00:00 UTC"),
        ("month", "Asia/Shanghai", "month-2026-12-CNY", "until 2027-01-01 00:00 CST"),
    ],
)
def test_a_window_begins_by_the_clock_of_its_zone(per: str, zone: str, window: str, end: str) -> None:
    found = read_definition("labels", f'{{"amount": 1, "per": "{per}", "timezone": "{zone}"}}', "CNY")
    assert found.window(NOW, RUN, "CNY").id == window
    assert found.window(NOW, RUN, "CNY").end_in_words == end


def test_a_budget_of_a_run_has_a_window_for_each_run_that_does_not_end_by_the_clock() -> None:
    found = read_definition("labels", '{"amount": 1, "per": "run"}', "CNY")
    one, other = (found.window(NOW, ("reviews", run), "CNY") for run in ("run_1", "run_2"))
    assert one.id != other.id
    assert one.end_in_words == "for this run"
