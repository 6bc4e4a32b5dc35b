"""The panel of the account, and filters that the address keeps."""

import re

from tests.browser.conftest import People, Place, complaints, enter
from tests.support.real_airflow import VIEWER, wait_for


def balances(place: Place) -> int:
    """How often the platform was asked for the balance of an account that no other test looks at."""
    return [call.name for call in place.platforms["kimi_panel"].journal].count("get_balance")


#: What the panel says of what was spent, whatever other tests have landed.
SPENT = re.compile("CNY|Nothing that is known")


def test_the_account_is_read_once_somebody_opens_its_panel(people: People, place: Place) -> None:
    page = people.batches("kimi_panel")
    page.locator("#summary", has_text="no batches").wait_for()
    assert balances(place) == 0
    page.locator("#account summary").click()
    page.locator("#account-files", has_text="0 of 1,000").wait_for()
    page.locator("#account-models", has_text="kimi-k2.6").wait_for()
    assert page.locator("#account-balance").inner_text() == "1,000.00 CNY"
    page.locator("#spent-7", has_text=SPENT).wait_for()
    assert balances(place) == 1
    assert complaints(page) == ""


def test_a_viewer_learns_nothing_of_the_account(people: People) -> None:
    page = people.batches(user=VIEWER)
    page.locator("#account summary").click()
    page.locator("#account-note", has_text="who may read this connection").wait_for()
    page.locator("#spent-30", has_text=SPENT).wait_for()
    assert not page.locator("#account-tiles").is_visible()
    assert complaints(page) == ""


def test_connections_are_offered_to_those_who_may_read_them(people: People) -> None:
    page = people.batches()
    page.locator('#connections option[value="kimi_empty"]').wait_for(state="attached")
    offered = [option.get_attribute("value") for option in page.locator("#connections option").all()]
    assert {"kimi_default", "kimi_thousand"} <= set(offered)


def test_a_filtered_page_can_be_shared_and_is_there_again_on_the_way_back(people: People) -> None:
    page = people.batches()
    page.locator("#summary", has_text="200 of 200").wait_for()
    page.select_option("#dag", "reviews")
    page.locator("#summary", has_text="50 of 200").wait_for()
    page.select_option("#status", "completed")
    page.locator("#summary:not(:has-text('50 of 200'))").wait_for()
    filtered = page.locator("#summary").inner_text().split(",")[0]
    assert page.url.endswith("/kimi/?conn_id=kimi_default&status=completed&dag=reviews")

    other = people.window(VIEWER)
    other.goto(page.url)
    other.locator("#summary", has_text=filtered).wait_for()

    page.locator("#batches tbody a.mono").first.click()
    page.locator("#batch h1").wait_for()
    page.go_back()
    page.locator("#summary", has_text=filtered).wait_for()
    assert page.locator("#dag").input_value() == "reviews"
    page.check("#mine")
    page.locator("#summary", has_text="0 of 200").wait_for()
    assert page.url.endswith("&mine=1")


def test_airflows_own_address_keeps_the_filters(people: People, place: Place) -> None:
    page = people.window(viewport={"width": 1400, "height": 900})
    page.goto(f"{place.airflow.url}/plugin/kimi-batches/")
    frame = page.frame_locator("iframe")
    enter(frame, "kimi_default")
    frame.locator("#summary", has_text="200 of 200").wait_for()
    frame.locator("#dag").select_option("reviews")
    page.wait_for_url("**/plugin/kimi-batches/kimi/?conn_id=kimi_default&dag=reviews")
    page.reload()
    frame.locator("#summary", has_text="50 of 200").wait_for()
    frame.locator("#account summary").click()
    frame.locator("#account-files", has_text="of 1,000").wait_for()
    people.keep(page, "account_in_airflow")
    page.go_back()
    page.wait_for_url(lambda url: "kimi-batches" not in url)


def test_what_a_task_has_landed_is_spent_and_stands_under_its_batch(people: People, landed: str) -> None:
    page = people.batches("kimi_landed")

    def has_cost() -> bool:
        page.reload()
        page.locator("tbody tr").wait_for()
        page.wait_for_timeout(1000)
        return " CNY" in page.locator("tbody tr").inner_text()

    wait_for(has_cost, "no cost is shown", pause=5)
    assert " tokens, " in page.locator("tbody tr").inner_text()
    page.locator("#account summary").click()
    assert page.locator("#spent-7").inner_text().endswith(" CNY")
    page.check("#mine")
    page.locator("#summary", has_text="1 of 1 batches").wait_for()
    people.keep(page, "account_landed")


def test_what_is_left_of_budgets_is_shown_to_those_who_may_read_variables(people: People, place: Place) -> None:
    spent = "kimi_claim.shown.month-2099-01-CNY.0123456789abcdef.0123456789ab.spent.001764541800000.31700000"
    for key, value in (
        ("kimi_budget_shown", '{"amount": 100, "per": "run"}'),
        (spent.replace("month-2099-01", "run-1"), "{}"),
    ):
        place.airflow.call("POST", "/api/v2/variables", {"key": key, "value": value})
    page = people.batches("kimi_empty")
    page.locator("#account summary").click()
    page.locator("#budgets", has_text="Left of budget shown").wait_for()
    assert "68.30 CNY" in page.locator("#budgets").inner_text()
    assert "31.70 CNY spent, 0 CNY reserved, of 100.00 CNY" in page.locator("#budgets").inner_text()
    assert complaints(page) == ""
    hidden = people.batches(user=VIEWER)
    hidden.locator("#account summary").click()
    hidden.locator("#spent-30", has_text=SPENT).wait_for()
    assert not hidden.locator("#budgets").is_visible()
