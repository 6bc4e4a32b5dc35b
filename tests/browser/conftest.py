"""One real Airflow for the whole folder, platforms behind it, and people with browsers in front of it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator, Timing
from tests.browser.accounts import (
    SLOW,
    fill_with_every_status,
    fill_with_strange,
    fill_with_thousand,
    some_rows_fail,
)
from tests.support.real_airflow import PASSWORD, USER, VIEWER, RealAirflow, wait_for

HERE = Path(__file__).parent
DAGS = HERE.parent / "real_airflow" / "dags"
EXAMPLES = HERE.parents[1] / "example_dags"
CHROMIUM = shutil.which("chromium") or "chromium"

#: The run of the DAG `tab` whose result is landed.
LANDED = "manual__2026-02-03T00:00:00+00:00"

#: Seconds that a test may take; all of them wait for one Airflow.
SECONDS = 300

#: Connections to one account with a thousand batches, each of which Airflow reads for itself.
UNREAD = [f"kimi_unread_{n}" for n in range(4)]

#: What the account behind a connection holds when the tests begin.
ACCOUNTS: Mapping[str, Callable[[KimiSimulator], None]] = {
    "kimi_default": fill_with_every_status,
    "kimi_watched": lambda _: None,
    "kimi_tab": lambda _: None,
    "kimi_landed": lambda _: None,
    "kimi_strange": fill_with_strange,
    "kimi_thousand": fill_with_thousand,
    "kimi_unread": fill_with_thousand,
    "kimi_empty": lambda _: None,
    "kimi_panel": lambda _: None,
    "kimi_detail": fill_with_every_status,
}


@dataclass(frozen=True)
class Place:
    """A real Airflow with its connections in its database, and a platform behind each of them.

    :param platforms: By the id of the connection.
    """

    airflow: RealAirflow
    platforms: Mapping[str, KimiSimulator]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder only where a browser is."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(SECONDS))


def connect(airflow: RealAirflow, conn_id: str, platform: KimiSimulator, key: str = "") -> None:
    """Create a connection as the administrator does."""
    fields = {"conn_type": "kimi", "host": platform.base_url, "password": key or platform.api_key}
    extra = json.dumps({"requests_per_minute": 600})
    airflow.call("POST", "/api/v2/connections", {"connection_id": conn_id, "extra": extra, **fields})


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "home").mkdir()
    (folder / "dags").mkdir()
    for name in ("assets.py", "links.py", "tab.py"):
        shutil.copy(DAGS / name, folder / "dags")
    shutil.copy(EXAMPLES / "example_kimi_replay.py", folder / "dags")
    with ExitStack() as stack:
        platforms = {}
        for conn_id, fill in ACCOUNTS.items():
            timing = Timing(1, 7200, 1) if conn_id in ("kimi_watched", "kimi_tab", "kimi_landed") else SLOW
            platform = KimiSimulator(speed=0, timing=timing, responder=some_rows_fail)
            platforms[conn_id] = stack.enter_context(platform)
            fill(platform)
        airflow = stack.enter_context(RealAirflow(folder / "home", folder / "dags", {}))
        for conn_id, platform in platforms.items():
            connect(airflow, conn_id, platform)
        for conn_id in UNREAD:
            connect(airflow, conn_id, platforms["kimi_unread"])
        connect(airflow, "kimi_refused", platforms["kimi_empty"], key="sk-wrong-key-0123456789")
        yield Place(airflow, platforms)


@pytest.fixture(scope="session")
def landed(place: Place, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run whose result is landed; returns where."""
    platform, airflow = place.platforms["kimi_landed"], place.airflow
    conf = {"conn": "kimi_landed", "output": str(tmp_path_factory.mktemp("landed") / "result")}
    airflow.run_dag("tab", LANDED, conf)
    wait_for(lambda: airflow.task_states("tab", LANDED).get("label") == "deferred", "not deferred")
    platform.advance(9000)
    wait_for(lambda: airflow.task_states("tab", LANDED)["label"] == "success", "not landed")
    return conf["output"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield started
        started.close()


def log_in(page: Any, airflow: RealAirflow, user: str) -> None:
    """Log in as a person does."""
    page.goto(airflow.url)
    page.fill('input[name="username"]', user)
    page.fill('input[name="password"]', PASSWORD)
    page.click('button[type="submit"]')
    page.wait_for_url(lambda url: "/auth/" not in url and "login" not in url)


class People:
    """Whoever looks at Airflow. A person logs in once, and may then have many windows.

    :param shots: Where screenshots go.
    """

    def __init__(self, browser: Any, airflow: RealAirflow, shots: Path) -> None:
        self._browser = browser
        self._airflow = airflow
        self._shots = shots
        self._sessions: dict[str, Any] = {}

    def window(self, user: str = USER, **look: Any) -> Any:
        """Open a window in which the person is logged in; `look` is the theme, the size and the language."""
        if user not in self._sessions:
            context = self._browser.new_context()
            log_in(context.new_page(), self._airflow, user)
            self._sessions[user] = {"cookies": context.cookies(), "origins": []}  # no language or theme of Airflow's
            context.close()
        return self._browser.new_context(storage_state=self._sessions[user], **look).new_page()

    def batches(self, conn_id: str = "kimi_default", user: str = USER, **look: Any) -> Any:
        """Open the page outside of Airflow's frame, and enter the connection; returns the page."""
        page = self.window(user, **look)
        page.goto(f"{self._airflow.url}/kimi/")
        enter(page, conn_id)
        return page

    def keep(self, page: Any, name: str) -> None:
        """Take a screenshot."""
        page.screenshot(path=self._shots / f"{name}.png")


def enter(page: Any, conn_id: str) -> None:
    """Enter the id of a connection, as a person does; `page` is the page or its frame."""
    page.locator("#batches h1:not(:empty)").wait_for()
    field = page.locator("#connection")
    if field.input_value() != conn_id:
        field.fill(conn_id)
        field.press("Enter")


def scroll_to_the_end(page: Any, rows: int) -> None:
    """Scroll until so many rows are drawn."""
    for _ in range(100):
        if page.locator("tbody tr").count() >= rows:
            return
        page.mouse.wheel(0, 100_000)
        page.wait_for_timeout(50)
    raise AssertionError(f"{rows} rows are not drawn")


def complaints(page: Any) -> str:
    """What axe-core finds wrong, as a text for developers, and whether the page is too wide; empty if all is well.

    The script of axe-core runs beside the page's own policy.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.response["passes"], "axe-core did not look at anything"
    needed, given = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    wide = "" if needed <= given else f"The page is {needed} wide in a window of {given}."
    return wide + (str(found.generate_report()) if found.violations_count else "")


@pytest.fixture(scope="session")
def sessions(place: Place, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> People:
    shots = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("shots"))
    return People(browser, place.airflow, shots)


@pytest.fixture
def people(sessions: People, browser: Any) -> Iterator[People]:
    """People who close their windows when the test is over."""
    yield sessions
    for context in browser.contexts:
        context.close()


@pytest.fixture(params=[USER, VIEWER])
def user(request: pytest.FixtureRequest) -> str:
    """Somebody who may see the page."""
    return str(request.param)
