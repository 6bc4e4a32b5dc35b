"""`report.html` in a real browser: nothing in it runs or asks for anything, and everybody can use it (axe-core)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.report.page import written_report
from airflow_provider_kimi.results.report_facts import ReportRow
from tests.browser.conftest import complaints
from tests.report.facts import HOSTILE, batch_of, facts_of, manifest_of

LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
}


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A page whose ids, labels and texts are hostile."""
    path = tmp_path / "report.html"
    rows = [ReportRow(HOSTILE, {"text": HOSTILE, "word": "x" * 300}, {"status": "failed"})]
    facts = facts_of(manifest_of(HOSTILE), rows, [batch_of(0), batch_of(1, id="batch_" + "0" * 60)])
    path.write_bytes(written_report(facts, most_rows=1))
    return f"file://{path}"


@pytest.fixture(params=LOOKS)
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(**LOOKS[request.param])
    opened = context.new_page()
    opened.goto(address)
    yield opened
    context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everybody_can_use_the_page_in_each_look_and_language(page: Any, language: str) -> None:
    page.check(f"#{language}")
    assert page.get_by_text("Rows by status").is_visible() == (language == "en")
    assert page.get_by_text("各状态行数").is_visible() == (language == "zh")
    assert complaints(page) == ""


def test_nothing_in_the_page_runs_and_it_asks_for_nothing(browser: Any, address: str) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert "hacked" not in page.title().replace(HOSTILE, "")
    assert page.locator("script, img, iframe, object").count() == 0
    assert page.get_by_text(HOSTILE, exact=True).count() >= 2
    assert asked == [address]
    page.context.close()


def test_bars_are_as_long_as_their_shares(browser: Any, address: str) -> None:
    page = browser.new_context(viewport={"width": 1100, "height": 800}).new_page()
    page.goto(address)
    bar = page.locator("table svg.bar").first
    part = bar.locator("rect.succeeded")
    assert round(part.bounding_box()["width"] / bar.bounding_box()["width"], 2) == 0.9
    page.context.close()
