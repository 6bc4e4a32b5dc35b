"""The page in each look: its theme, its width and its language, and whether everybody can use it (axe-core)."""

from typing import Any

import pytest

from tests.browser.conftest import People, complaints, enter

WIDE = {"width": 1400, "height": 900}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": WIDE},
    "tablet": {"viewport": {"width": 1024, "height": 768}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "small_phone_dark": {
        "viewport": {"width": 320, "height": 640},
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
    },
    "chinese": {"locale": "zh-CN", "viewport": WIDE},
    "chinese_phone": {"locale": "zh-CN", "viewport": {"width": 390, "height": 844}, "is_mobile": True},
}

#: One batch in each status: the words to search for.
ONE_OF_EACH = "2026-11-01"

#: What the page shows behind each connection, once it has been read.
CONTENTS = {
    "kimi_default": ".badge.cancelled",
    "kimi_strange": ".badge",
    "kimi_refused": "#error:not([hidden])",
    "kimi_empty": "#summary:not(:empty)",
}


@pytest.mark.parametrize("look", LOOKS)
def test_everybody_can_use_the_page_in_each_look(people: People, look: str) -> None:
    page = people.batches(**LOOKS[look])
    page.locator("#summary", has_text="200").wait_for()
    page.locator("#account > summary").click()
    page.locator("#account-balance .amount").wait_for()
    page.locator("#search").fill(ONE_OF_EACH)
    assert page.evaluate("document.documentElement.classList.contains('dark')") is ("dark" in look)
    is_chinese = "chinese" in look
    assert page.title() == ("Kimi 批处理" if is_chinese else "Kimi batches")
    assert page.evaluate("document.documentElement.lang") == ("zh-CN" if is_chinese else "en")
    faults = {}
    for conn_id, part in CONTENTS.items():
        enter(page, conn_id)
        page.locator(part).first.wait_for()
        people.keep(page, f"{look}_{conn_id}")
        faults[conn_id] = complaints(page)
        page.locator("#search").fill("")
    assert faults == dict.fromkeys(CONTENTS, "")
