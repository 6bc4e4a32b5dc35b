"""What the documents say is true: links lead somewhere, commands and files exist, and tables are shown by tests."""

import re
from pathlib import Path

import pytest

from airflow_provider_kimi.records.rows import RESULT_FIELDS, ROW_STATUSES
from tests.architecture.modules import PACKAGE
from tests.architecture.test_layers import LAYERS
from tests.support.documents import PAGES, ROOT, USER_PAGES

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
README = ROOT / "README.md"
MAX_README_LINES = 150

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#{1,3} (.+)$", without_code(text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def section(page: str, title: str) -> str:
    return text_of(ROOT / page).split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in _LINK.findall(without_code(text_of(page))):
        assert "://" not in link, f"{page.name} links to another site, which no test can follow: {link}"
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors_of(target), f"{page.name} links to {link}"


def test_the_readme_is_short_and_lists_every_page() -> None:
    assert len(text_of(README).splitlines()) <= MAX_README_LINES
    links = [link.partition("#")[0] for link in _LINK.findall(text_of(README))]
    listed = {ROOT / link for link in links if link.startswith("docs/")}
    assert listed == {page for page in USER_PAGES if page.name not in ("README.md", "index.md")}


def test_the_first_screen_says_what_it_does_not_do() -> None:
    assert text_of(README).index("make demo") < 4000
    assert text_of(README).index("does not do") < 4500


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"`(?:\w+=\S+ )*make ([a-z-]+)", text_of(page))) <= TARGETS


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_module_that_a_page_names_exists(page: str) -> None:
    for name in re.findall(r"`([\w/]+\.py)`", text_of(ROOT / page)):
        found = list(PACKAGE.rglob(name)) or (ROOT / name).exists()
        assert found, f"{page} names {name}"


def test_the_page_of_the_architecture_lists_the_layers_in_their_order() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("ARCHITECTURE.md", "Who may import whom"), re.MULTILINE)
    names = [name.strip("/").removesuffix(".py") for row in rows for name in re.findall(r"`(.+?)`", row)]
    assert names == [*(layer for layer in LAYERS if layer != "__init__"), "simulator"]


def test_ci_calls_only_make() -> None:
    lines = [
        line
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set", "cd"))
    ]
    assert lines == ["make check", "make docs", "make test", "make test-slow"]


def test_the_page_of_results_explains_every_column_and_every_status() -> None:
    columns = section("docs/results.md", "Columns of a row")
    assert [name for name in RESULT_FIELDS if f"`{name}`" not in columns] == []
    statuses = section("docs/results.md", "Row statuses")
    assert [status for status in ROW_STATUSES if f"`{status}`" not in statuses] == []
    overview = text_of(ROOT / "docs" / "how-it-works.md")
    assert [status for status in ROW_STATUSES if f"`{status}`" not in overview] == []


#: Where each row of "What a retry does" is shown, by the beginning of the row.
SHOWN_BY = {
    "the worker died at any point": "test_a_death_at_any_point",
    "a create was answered by a 5xx": "test_a_create_that_was_not_answered_is_sent_once_more",
    "two attempts ran at the same time": "test_two_attempts_at_once",
    "`create` was cleared": "test_clearing_every_task_attaches_to_the_batch",
    "a mapped task's indices have moved": "test_mapped_instances_keep_their_work_when_indices_move",
    "the batch failed, expired or was": "test_work_that_failed_expired_or_was_cancelled_is_submitted_again",
    '`reuse="never"`, or a run started': "test_a_run_whose_conf_asks_for_fresh_work_pays_again",
    "the input has changed": "test_a_changed_input_replaces_the_old_batch_with_cancel_and_fresh",
    "the connection has another key": "test_nothing_is_paid_in_an_account_that_does_not_know_a_noted_batch",
    "the account has more batches": "test_a_search_that_reaches_its_limit_stops_before_anything_is_paid",
    "`wait` was cleared or retried": "test_clearing_the_waiting_task_keeps_the_batch",
    "`wait` or its run was marked": "test_marking_a_waiting_task_failed_cancels_the_batch",
    "the triggerer was restarted": "test_another_triggerer_goes_on_waiting_and_cancels_nothing",
    "`results` was retried": "test_a_batch_landed_twice_gives_the_same_files",
    "`airflow tasks test`": "test_other_work_has_another",
}


def test_every_row_of_what_a_retry_does_is_shown_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    table = section("docs/retries-and-money.md", "What a retry does")
    rows = [line[2:] for line in table.splitlines() if line.startswith("| ") and not line.startswith("| what happened")]
    assert len(rows) == len(SHOWN_BY)
    for row, (beginning, test) in zip(rows, SHOWN_BY.items(), strict=True):
        assert row.startswith(beginning)
        assert f"def {test}" in tests, test
