"""What the documents say is true: links lead somewhere, commands and files exist, and tables are shown by tests."""

import re
from pathlib import Path
from string import ascii_lowercase

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
    listed = {ROOT / link for link in links if re.match(r"docs/.*\.md$", link)}
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
    assert lines == ["make check", "make docs", "make test", "make test-slow", "make test-ui", "make test-lowest"]


@pytest.mark.parametrize("folder", ["real_airflow", "integration"])
def test_the_parts_of_the_tests_that_run_side_by_side_take_each_letter_once(folder: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    parts = re.findall(rf"tests/{folder}/test_\[(.)-(.)\]\*\.py", makefile)
    letters = [chr(code) for first, last in parts for code in range(ord(first), ord(last) + 1)]
    assert letters == list(ascii_lowercase)


def test_the_page_of_results_explains_every_column_and_every_status() -> None:
    columns = section("docs/results.md", "Columns of a row")
    assert [name for name in RESULT_FIELDS if f"`{name}`" not in columns] == []
    statuses = section("docs/results.md", "Row statuses")
    assert [status for status in ROW_STATUSES if f"`{status}`" not in statuses] == []
    overview = text_of(ROOT / "docs" / "how-it-works.md")
    assert [status for status in ROW_STATUSES if f"`{status}`" not in overview] == []


#: Where each row of a table of `docs/retries-and-money.md` is shown, by the beginning of the row.
SHOWN_BY = {
    "How a task ends": {
        "input or parameter wrong": "test_an_error_that_lasts_is_reported_and_no_second_batch_is_created",
        "key or certificate refused": "test_it_ends_the_wait_at_its_time_and_another_try_may_fare_better",
        "rate limit": "test_thirty_runs_at_once_get_through_twenty_requests_a_minute",
        "the queue is full": "test_a_full_queue_is_waited_for",
        "certificate not trusted": "test_a_create_behind_it_fails_at_once_with_its_cause",
        "platform fault": "test_a_create_that_was_not_answered_is_sent_once_more",
        "polls fail": "test_six_hours_of_faults_of_all_kinds_only_delay_a_wait",
        "the batch is `failed`": "test_a_sensor_goes_on_with_an_incomplete_batch_if_asked_to_and_says_so",
        "the batch has not ended": "test_a_sensor_keeps_to_a_shorter_execution_timeout",
        "the clock of the worker": "test_a_batch_that_has_hours_left_is_not_cancelled_at_the_first_poll",
        "it fails for good while": "test_a_final_failure_cancels_the_batches_that_run_if_on_final_failure_is_cancel",
        "it is marked failed": "test_marking_a_waiting_task_failed_cancels_the_batch",
        "it is marked success": "test_a_wait_that_fail_fast_skips_keeps_its_healthy_batch",
    },
    "What a retry does": {
        "the worker died at any point": "test_a_death_at_any_point",
        "a create was answered by a 5xx": "test_a_create_that_was_not_answered_is_sent_once_more",
        "a create was carried out long": "test_a_create_that_is_carried_out_after_the_gateway_gave_up_leaves_one_batch",
        "the list of batches is not whole": "test_where_the_list_is_not_whole_nothing_is_sent",
        "two attempts ran at the same time": "test_two_attempts_at_once",
        "`create` was cleared": "test_clearing_every_task_attaches_to_the_batch",
        "a mapped task's indices have moved": "test_mapped_instances_keep_their_work_when_indices_move",
        "the batch failed, expired or was": "test_a_clear_asks_only_for_the_rows_without_an_answer",
        '`reuse="never"`, or a run started': "test_a_run_whose_conf_asks_for_fresh_work_pays_again",
        "the cache has changed since": "test_a_retry_attaches_although_the_cache_has_changed_meanwhile",
        "the input has changed": "test_a_changed_input_replaces_the_old_batch_with_cancel_and_fresh",
        "the connection has another key": "test_nothing_is_paid_in_an_account_that_does_not_know_a_noted_batch",
        "the key was replaced": "test_an_input_that_another_key_has_uploaded_is_uploaded_again",
        "the account has more batches": "test_a_search_that_reaches_its_limit_stops_before_anything_is_paid",
        "`wait` was cleared or retried": "test_clearing_the_waiting_task_keeps_the_batch",
        "`wait` or its run was marked failed": "test_marking_a_waiting_task_failed_cancels_the_batch",
        "`wait` was marked success": "test_the_results_after_a_wait_that_is_marked_success_land",
        "the triggerer was restarted": "test_a_triggerer_that_lapsed_and_came_back_cancels_nothing",
        "`results` was retried": "test_a_batch_landed_twice_gives_the_same_files",
        "`airflow tasks test`": "test_other_work_has_another",
    },
}


@pytest.mark.parametrize("title", SHOWN_BY)
def test_every_row_of_what_a_task_and_a_retry_do_is_shown_by_a_test(title: str) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    table = section("docs/retries-and-money.md", title)
    rows = [line[2:] for line in table.splitlines() if line.startswith("| ") and not line.startswith("| what happen")]
    assert len(rows) == len(SHOWN_BY[title])
    for row, (beginning, test) in zip(rows, SHOWN_BY[title].items(), strict=True):
        assert row.startswith(beginning)
        assert f"def {test}" in tests, test
