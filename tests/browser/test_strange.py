"""Whatever a batch of a stranger holds, the page shows it as text, and nothing of it runs."""

from typing import Any

from tests.browser.accounts import STRANGE
from tests.browser.conftest import People, Place, enter


def test_what_a_stranger_wrote_is_text(place: Place, people: People) -> None:
    page = people.window()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.goto(f"{place.airflow.url}/kimi/")
    enter(page, "kimi_strange")
    page.locator("#summary", has_text=f"{len(STRANGE)} of {len(STRANGE)} batches").wait_for()
    shown = page.locator("#batches tbody").inner_text()
    for text in (
        "<script>window.hacked=1</script>",
        "<img src=x onerror=window.hacked=1>",
        "paused by hand",
        "__proto__",
    ):
        assert text in shown, text
    assert_nothing_runs(page)
    assert errors == []
    people.keep(page, "strange")


def assert_nothing_runs(page: Any) -> None:
    """Nothing that a stranger wrote became an element, an address of another scheme, or a script that ran."""
    assert page.evaluate("[window.hacked, top.hacked]") == [None, None]
    assert page.locator("main :is(script, img, svg, iframe, b)").count() == 0
    addresses = page.locator("a[href]").evaluate_all("all => all.map((link) => link.href)")
    assert [address for address in addresses if not address.startswith("http://127.0.0.1:")] == []
