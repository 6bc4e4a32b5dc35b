"""Who has no mouse narrows the table down, opens a batch and comes back."""

from typing import Any

from tests.browser.conftest import People

FOCUSED = "document.activeElement.id || document.activeElement.dataset.part || document.activeElement.textContent"


def tab_to(page: Any, name: str) -> None:
    """Press the tab key until the focus is there, which has to be seen."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"the tab key does not lead to {name}")


def test_the_keyboard_alone_narrows_the_table_down_opens_a_batch_and_comes_back(people: People) -> None:
    page = people.batches()
    page.locator("#summary", has_text="200 of 200 batches").wait_for()
    tab_to(page, "status")
    page.keyboard.type("failed")
    tab_to(page, "search")
    page.keyboard.type("tickets")
    rows = page.locator("tbody tr")
    batch_id = rows.first.locator("a").first.inner_text()
    assert rows.locator(".badge.failed").count() == rows.count() < 25
    tab_to(page, batch_id)
    page.keyboard.press("Enter")
    page.locator("#batch .badge.failed").wait_for()
    assert page.evaluate(FOCUSED) == "title", "a screen reader begins at the heading"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.locator("#summary", has_text="of 200 batches").wait_for()
    assert rows.count() < 25, "the list is narrowed down as before"
    assert rows.first.locator("a").first.inner_text() == batch_id
