"""The page for people: what it shows, in both languages, and that nothing in it runs."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.report.page import written_report
from airflow_provider_kimi.results.report_facts import ReportFacts, ReportRow
from tests.report.facts import HOSTILE, batch_of, facts_of, manifest_of

FOLDER = files("airflow_provider_kimi.report")
TEXTS: dict[str, dict[str, str]] = json.loads(FOLDER.joinpath("texts.json").read_text(encoding="utf-8"))
OF_THE_TAB: dict[str, dict[str, str]] = json.loads(
    files("airflow_provider_kimi.ui").joinpath("page/texts.json").read_text(encoding="utf-8")
)
TEMPLATE = FOLDER.joinpath("report.html").read_text(encoding="utf-8")

#: Texts whose keys are made of a value.
MADE = ("row_", "reason_", "result_", "field_", "usage_", "source_", "batch_")


class Elements(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text by language."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = 0
        self._skips = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag == "style"
        self._skips = tag == "span" and dict(attrs).get("lang") == "zh"

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"
        self._skips = False

    def handle_data(self, data: str) -> None:
        if not self._hidden and not self._skips:
            self.text += f"{data} "

    @property
    def words(self) -> str:
        """The text of the page in English."""
        return " ".join(self.text.split())


def page_of(facts: ReportFacts, most_rows: int = 0) -> Elements:
    return Elements(written_report(facts, most_rows=most_rows).decode())


def test_the_page_shows_the_numbers_of_the_manifest() -> None:
    words = page_of(facts_of(manifest_of(), batches=[batch_of(0), batch_of(1)])).words
    for said in (
        "some rows have no usable answer",
        "Rows 100 90.0% with a usable answer",
        "Agreement 93.3% 70 of 75",
        "Drift 7.3% since 2026-11-29 21:00:00 UTC",
        "Cost 1.2500 CNY prices of 2026-09-01",
        "Saved 42 rows that were not sent",
        "failed 7 7.0%",
        "positive 60 66.7%",
        "70 of 75 answers agree with the column “positive”.",
        "Rows without a usable answer: 4; with a gold value that is no label: 1.",
        "neutral positive neutral 30 0 positive 5 40",
        "Rows that differ from gold (2) positive r2",
        "positive 42.0% 49.3%",
        "invalid schema_mismatch Rows 3 q1",
        "Prompt tokens 12,345",
        "positive : 47.9 of 100 CNY left day",
        "Round Asked Usable 1 58 48",
        "cache 40 40.0%",
        "48 answers were stored in the cache.",
        "batch_1 completed Created 2026-11-30 01:03:20 UTC Took 0:10:00 Rows 45 / 50",
        "/data/out results.jsonl report.html manifest.json",
    ):
        assert said in words, said


def test_a_result_without_any_of_the_newer_facts_has_a_page_too() -> None:
    counts = manifest_of().counts
    plain = Manifest(batch_ids=["batch_1"], status="failed", counts=counts, usage={"total_tokens": 0})
    words = page_of(facts_of(plain, batches=[batch_of(0, created_at=None, in_progress_at=None)])).words
    assert "Cost not known" in words
    assert "Agreement" not in words
    assert "Drift" not in words


def test_a_day_that_sent_nothing_has_no_time_line_of_batches() -> None:
    assert "Batches over time" not in page_of(facts_of(manifest_of(batch_ids=[]))).words
    assert "Batches over time" in page_of(facts_of(manifest_of(), batches=[batch_of(0)])).words


@pytest.mark.parametrize("most_rows", [0, 5])
def test_hostile_ids_labels_and_texts_are_text_in_the_page(most_rows: int) -> None:
    rows = [ReportRow(HOSTILE, {HOSTILE: HOSTILE}, {"status": "failed", "error_message": HOSTILE})]
    batches = [batch_of(0, id=HOSTILE, metadata={"kimi_shard": HOSTILE}, status=HOSTILE)]
    hostile = facts_of(manifest_of(HOSTILE), rows, batches)
    row = ReportRow("positive", {"text": "fine"}, {"status": "failed", "error_message": "x"})
    usual = facts_of(manifest_of(), [row], [batch_of(0)])
    found, known = page_of(hostile, most_rows), page_of(usual, most_rows)
    assert HOSTILE in found.text
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in known.elements}
    assert {name for _, attributes in found.elements for name in attributes} <= {
        *("charset", "http-equiv", "content", "name", "lang", "class", "style", "type", "id", "checked", "scope"),
        *("viewbox", "preserveaspectratio", "aria-hidden", "x", "y", "width", "height", "tabindex", "role", "open"),
        "aria-label",
    }


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=30), st.dictionaries(st.text(max_size=10), st.text(max_size=30) | st.floats(), max_size=3))
def test_no_id_and_no_value_of_a_row_brings_an_element_of_its_own(custom_id: str, columns: dict[str, object]) -> None:
    rows = [ReportRow(custom_id, columns, {"status": "invalid", "content": custom_id})]
    found = page_of(facts_of(manifest_of(custom_id), rows), most_rows=1)
    assert {"script", "img", "a", "iframe", "link", "object"}.isdisjoint(tag for tag, _ in found.elements)


def test_the_page_names_no_host_and_allows_only_its_own_style() -> None:
    page = written_report(facts_of(manifest_of(), batches=[batch_of(0)])).decode()
    assert "//" not in page
    assert "url(" not in page
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in page


def test_the_same_result_gives_the_same_page() -> None:
    facts = facts_of(manifest_of(), batches=[batch_of(0)])
    assert written_report(facts) == written_report(facts)


def test_rows_that_failed_or_differ_from_gold_are_shown_first() -> None:
    statuses = {"r1": "succeeded", "r2": "succeeded", "r3": "succeeded", "r4": "failed"}
    rows = [ReportRow(name, {"text": f"text of {name}"}, {"status": status}) for name, status in statuses.items()]
    facts = facts_of(manifest_of(), rows)
    assert re.findall("text of (r.)", page_of(facts, most_rows=3).words) == ["r2", "r4", "r1"]
    assert re.findall("text of (r.)", page_of(facts, most_rows=1).words) == ["r2"]
    assert "r2 · succeeded · differs from gold" in page_of(facts, most_rows=3).words
    assert "text of r" not in page_of(facts).words.replace("The text of rows", "")


def test_a_long_text_of_a_row_is_cut() -> None:
    rows = [ReportRow("r1", {"text": "x" * 10_000}, {"status": "failed"})]
    assert "x" * 2000 + "…" in page_of(facts_of(manifest_of(), rows), most_rows=1).words


def test_many_batches_and_labels_are_counted_where_they_are_not_shown() -> None:
    manifest = manifest_of(labels={f"label {n}": 1000 - n for n in range(150)})
    words = page_of(facts_of(manifest, batches=[batch_of(n) for n in range(120)])).words
    assert "label 99 " in words
    assert "label 100 " not in words
    assert "and 50 more" in words
    assert "and 20 more" in words


def test_the_time_line_shows_when_each_batch_waited_ran_and_ended() -> None:
    found = page_of(facts_of(manifest_of(), batches=[batch_of(0), batch_of(1)]))
    pieces = [
        (attributes["class"], float(attributes["x"] or 0), float(attributes["width"] or 0))
        for tag, attributes in found.elements
        if tag == "rect" and attributes["class"] in ("waits", "runs", "ends")
    ]
    assert pieces == [
        *(("waits", 0, 50), ("runs", 50, 366.7), ("ends", 416.7, 83.3)),
        *(("waits", 500, 50), ("runs", 550, 366.7), ("ends", 916.7, 83.3)),
    ]


def test_a_confusion_of_many_labels_is_a_list_of_pairs() -> None:
    cells = [{"gold": f"g{n}", "answer": f"a{n}", "count": 1} for n in range(300)]
    gold = {**(manifest_of().gold or {}), "confusion": cells}
    words = page_of(facts_of(manifest_of(gold=gold))).words
    assert "g0 a0 1" in words
    assert "g299 a299 1" in words


def test_every_text_is_there_in_both_languages_with_the_same_placeholders() -> None:
    for key, text in TEXTS.items():
        assert text.keys() == {"en", "zh"}, key
        assert set(re.findall(r"\{\w+\}", text["en"])) == set(re.findall(r"\{\w+\}", text["zh"])), key
    assert [*TEXTS] == sorted(TEXTS)


def test_every_text_that_the_page_uses_exists_and_every_one_is_used() -> None:
    used = set(re.findall(r'\b(?:t|counted|fact|on_phone)\("(\w+)"', TEMPLATE))
    used |= {"not_known", "input_fingerprint", "prompt_fingerprint"}
    assert used <= TEXTS.keys()
    assert {key for key in TEXTS.keys() - used if not key.startswith(MADE)} == set()


def test_a_status_is_called_the_same_in_the_page_and_in_the_tab_of_the_task() -> None:
    both = {key for key in TEXTS.keys() & OF_THE_TAB.keys() if key.startswith(("row_", "result_", "reason_"))}
    assert len(both) == 13
    assert {key: TEXTS[key] for key in both} == {key: OF_THE_TAB[key] for key in both}
