"""The texts of the page: one for each key in each language, and none in the program."""

import json
import re
from pathlib import Path
from typing import get_args

from airflow_provider_kimi import ui
from airflow_provider_kimi.api.models import ACTIVE_STATUSES, TERMINAL_STATUSES
from airflow_provider_kimi.records.manifest import FILE_FIELDS, ManifestStatus
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.ui.detail_view import ACTS, OUTCOMES

PAGE = Path(ui.__file__).parent / "page"
TEXTS: dict[str, dict[str, str]] = json.loads((PAGE / "texts.json").read_text(encoding="utf-8"))
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js"))}
HTML = (PAGE / "index.html").read_text(encoding="utf-8")

#: Keys that scripts make of a word of the platform.
MADE = {f"status_{status}" for status in (*ACTIVE_STATUSES, *TERMINAL_STATUSES, "unknown")}
MADE |= {f"row_{status}" for status in ROW_STATUSES} | {f"result_{status}" for status in get_args(ManifestStatus)}
MADE |= {f"file_{name}" for name in FILE_FIELDS} | {"failures_mixed", "reason_further_reasons", "reason_other"}
MADE |= OUTCOMES | {f"act_{act}" for act in ACTS} | {f"file_{kind}" for kind in ("input", "output", "error")}


def test_every_text_is_there_in_every_language_with_the_same_placeholders() -> None:
    for key, text in TEXTS.items():
        assert text.keys() == {"en", "zh"}, key
        assert set(re.findall(r"\{\w+\}", text["en"])) == set(re.findall(r"\{\w+\}", text["zh"])), key
        assert text["en"], key
        assert re.search("[\u4e00-\u9fff]", text["zh"]), key


def test_the_texts_are_in_order_so_that_none_is_there_twice() -> None:
    keys = re.findall(r'^  "(\w+)":', (PAGE / "texts.json").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert keys == sorted(TEXTS)


def test_every_text_that_the_page_uses_exists_and_every_one_is_used() -> None:
    used = set(re.findall(r'data-text="(\w+)"', HTML))
    words: set[str] = set()
    for script in SCRIPTS.values():
        used |= set(re.findall(r"\btexts\.(\w+)", script))
        words |= set(re.findall(r'"(\w+)"', script))
    assert used - {"json"} <= TEXTS.keys()
    assert TEXTS.keys() <= used | words | MADE


def test_the_page_sets_no_html_and_names_no_other_host() -> None:
    for name, script in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script), (
            name
        )
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "//" not in re.sub(r"^\s*//.*$|; //.*$", "", text, flags=re.MULTILINE), path.name
    assert " style=" not in HTML
    assert not re.search(r"<script(?! src=)|\son\w+=", HTML)


def test_the_page_loads_all_its_scripts_at_once() -> None:
    loaded = set(re.findall(r'(?:href|src)="(\w+\.js)"', HTML))
    assert loaded == SCRIPTS.keys()
