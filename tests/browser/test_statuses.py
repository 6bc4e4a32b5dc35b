"""Two hundred batches in all eight statuses, as an administrator and as a viewer see them."""

from collections import Counter

import pytest

from airflow_provider_kimi.simulator.limits import BATCH_STATUSES
from tests.browser.accounts import OF_EACH_STATUS
from tests.browser.conftest import People, scroll_to_the_end

ENGLISH = ["validating", "in progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
CHINESE = ["校验中", "进行中", "收尾中", "已完成", "失败", "已过期", "取消中", "已取消"]
LANGUAGES = {"en": (ENGLISH, "200 of 200 batches"), "zh-CN": (CHINESE, "显示 200 个批处理中的 200 个")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_status_has_its_badge_and_its_word(people: People, user: str, language: str) -> None:
    words, summary = LANGUAGES[language]
    page = people.batches(user=user, locale=language, viewport={"width": 1400, "height": 1000})
    page.locator("#summary", has_text=summary).wait_for()
    people.keep(page, f"statuses_{language}_{user}")
    scroll_to_the_end(page, 200)
    badges = page.locator("tbody .badge").evaluate_all("all => all.map((one) => [one.classList[2], one.textContent])")
    shown = Counter((name, word) for name, word in badges)
    assert shown == Counter(dict.fromkeys(zip(BATCH_STATUSES, words, strict=True), OF_EACH_STATUS))


def test_a_status_and_words_narrow_the_table_down(people: People) -> None:
    page = people.batches()
    rows = page.locator("tbody tr")
    page.locator("#summary", has_text="200 of 200 batches").wait_for()
    for status in BATCH_STATUSES:
        page.locator("#status").select_option(status)
        assert rows.count() == OF_EACH_STATUS
        assert set(page.locator("tbody .badge").all_inner_texts()) == {status.replace("_", " ")}
    page.locator("#status").select_option("")
    page.locator("#search").fill("tickets label")
    assert rows.count() == 50
    page.locator("#search").fill("nothing has these words")
    assert rows.count() == 0
    assert "0 of 200 batches" in page.locator("#summary").inner_text()
