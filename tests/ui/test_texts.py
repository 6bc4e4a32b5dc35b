"""The texts of the page: one for each key in each language, and none in the program."""

import json
import re
from pathlib import Path

from airflow_provider_kimi import ui
from airflow_provider_kimi.api.models import ACTIVE_STATUSES, TERMINAL_STATUSES

UI = Path(ui.__file__).parent
TEXTS = json.loads((UI / "texts.json").read_text(encoding="utf-8"))
SCRIPT = (UI / "page.js").read_text(encoding="utf-8")
PAGE = (UI / "page.html").read_text(encoding="utf-8")


def test_every_language_has_the_same_keys_and_placeholders() -> None:
    assert TEXTS["en"].keys() == TEXTS["zh"].keys()
    for key, text in TEXTS["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", TEXTS["zh"][key])), key
        assert text, key
        assert re.search("[\u4e00-\u9fff]", TEXTS["zh"][key]), key


def test_every_text_that_the_page_uses_exists_and_every_one_is_used() -> None:
    used = {*re.findall(r'data-text="(\w+)"', PAGE), *re.findall(r"texts\.(\w+)", SCRIPT)}
    used |= {f"status_{status}" for status in (*ACTIVE_STATUSES, *TERMINAL_STATUSES, "unknown")}
    used |= set(re.findall(r'"(\w+)"', SCRIPT.split("const labels = [")[1].split("]")[0]))
    assert used - {"json"} == TEXTS["en"].keys()


def test_the_page_sets_no_html_and_names_no_other_host() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", SCRIPT)
    for name in ("page.html", "page.js", "page.css"):
        assert "//" not in re.sub(r"^\s*//.*$|; //.*$", "", (UI / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert " style=" not in PAGE
    assert not re.search(r"<script(?! src=)|\son\w+=", PAGE)
