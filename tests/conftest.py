"""Fixtures of every test: an Airflow home of its own, and a simulated platform behind a connection."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import certifi

# Airflow reads these when it is first imported.
_home = tempfile.TemporaryDirectory(prefix="kimi-tests-")
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parent.parent / "example_dags")

# Clients read all public certificates when they are made, which takes longer than most tests; one is enough for them.
_certificate = Path(_home.name) / "certificate.pem"
_end = "-----END CERTIFICATE-----"
_certificate.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(_end)[0] + _end)
os.environ.setdefault("SSL_CERT_FILE", str(_certificate))

# A shell that starts the tests in the background lets them, and what they start, ignore an interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)  # fixtures then stop the processes that they started

import pytest  # noqa: E402
from blockbuster import blockbuster_ctx  # noqa: E402
from hypothesis import settings  # noqa: E402

from airflow_provider_kimi.compat import SHOWS_PAGES  # noqa: E402
from airflow_provider_kimi.hooks.kimi import KimiHook  # noqa: E402
from airflow_provider_kimi.simulator import KimiSimulator  # noqa: E402
from tests.support.reviews import origin  # noqa: E402

# `make test` asks for the thorough one. No deadline, since imports may be lazy.
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=150, deadline=None)
settings.load_profile("quick")


TESTS = Path(__file__).parent

#: Seconds that a test of one module may take beside all others, and one on real Airflow processes; the rest have
#: pytest's own limit.
UNIT_SECONDS, AIRFLOW_SECONDS = 180, 1800


class Connect(Protocol):
    """Point the connection `kimi_default` at a simulator, and return its hook."""

    def __call__(self, simulator: KimiSimulator, *, api_key: str | None = None, **extra: object) -> KimiHook: ...


def pytest_report_header() -> str:
    """Say what the main job labels."""
    return f"main job: {origin()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit the time of each test by its folder: a unit test lies in one that a folder of the package has too."""
    for item in (item for item in items if item.get_closest_marker("timeout") is None):
        folder = item.path.relative_to(TESTS).parts[0]
        if folder == "real_airflow":
            item.add_marker(pytest.mark.timeout(AIRFLOW_SECONDS))
        elif folder == item.path.name or (TESTS.parent / "airflow_provider_kimi" / folder).is_dir():
            item.add_marker(pytest.mark.timeout(UNIT_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def no_trigger_blocks_its_loop() -> Iterator[None]:
    """Fail every test in which a trigger, the watcher that triggers share, or the page blocks the event loop."""
    page = ("ui.account", "ui.accounts", "ui.glance") if SHOWS_PAGES else ()
    loops = ("triggers", "waiting.watcher", *page)
    with blockbuster_ctx([f"airflow_provider_kimi.{name}" for name in loops]):
        yield


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Point the connection `kimi_default` at a simulator, and return its hook."""

    def point_at(simulator: KimiSimulator, *, api_key: str | None = None, **extra: object) -> KimiHook:
        password = api_key or simulator.api_key
        fields = {"conn_type": "kimi", "host": simulator.base_url, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
        return KimiHook()

    return point_at


@pytest.fixture
def sim() -> Iterator[KimiSimulator]:
    """A simulated platform whose clock stands still until it is advanced."""
    with KimiSimulator(speed=0) as simulator:
        yield simulator


@pytest.fixture
def hook(sim: KimiSimulator, connect: Connect) -> KimiHook:
    """A hook on the simulated platform."""
    return connect(sim)
