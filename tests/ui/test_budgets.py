"""How budgets stand, as the page shows them."""

from datetime import UTC, datetime

from airflow_provider_kimi.budgets.ledger import Entry
from airflow_provider_kimi.ui.budgets import views_of

NOW = datetime(2026, 11, 30, 20, 30, tzinfo=UTC)
RESERVED = Entry("labels", "day-2026-11-30-CNY", "0" * 16, "1" * 12, "reserved", 1_000, 8_000_000)


def names(*entries: Entry) -> list[str]:
    return [entry.name for entry in entries]


def test_a_budget_shows_what_is_spent_reserved_and_left_in_its_present_window() -> None:
    spent = RESERVED._replace(owner="1" * 16, kind="spent", micro=31_700_000)
    others = (RESERVED._replace(budget="other"), RESERVED._replace(window="day-2026-11-29-CNY"))
    (view,) = views_of(
        {"kimi_budget_labels": '{"amount": 100, "per": "day"}'}, [*names(RESERVED, spent, *others), "kimi_claim.x"], NOW
    )
    assert view == {
        **{"name": "labels", "per": "day", "window": "day-2026-11-30", "currency": "CNY"},
        **{"amount": 100.0, "spent": 31.7, "reserved": 8.0, "left": 60.3},
    }


def test_a_budget_that_nobody_has_drawn_on_is_whole_and_a_wrong_one_says_so() -> None:
    defined = {"kimi_budget_a": '{"amount": 5, "per": "month", "currency": "USD"}', "kimi_budget_b": "5"}
    whole, wrong = views_of(defined, [], NOW)
    assert (whole["left"], whole["currency"], whole["window"]) == (5.0, "USD", "")
    assert wrong["name"] == "b"
    assert wrong["error"].startswith("Airflow Variable kimi_budget_b does not define a budget")


def test_of_the_windows_of_runs_the_five_that_were_drawn_on_last_are_shown() -> None:
    runs = [RESERVED._replace(window=f"run-{number:016x}-CNY", number=number) for number in range(9)]
    views = views_of({"kimi_budget_labels": '{"amount": 10, "per": "run"}'}, names(*runs), NOW)
    assert [view["window"] for view in views] == [f"run-{number:016x}" for number in (8, 7, 6, 5, 4)]
