"""Each peer once for all its tests, and the table of what they do."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.peers.facts import FACTS, TABLE_HEAD
from tests.peers.servers import PEERS, START, Peer
from tests.support.raw_server import connect_to
from tests.support.relay import Relay


@dataclass(frozen=True)
class Place:
    """A peer that runs."""

    peer: Peer
    base_url: str


@pytest.fixture(scope="session", params=PEERS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A peer that runs."""
    name: str = request.param
    with START[name](tmp_path_factory.mktemp(name) / "server") as base_url:
        yield Place(PEERS[name], base_url)


@pytest.fixture
def hook(place: Place, monkeypatch: pytest.MonkeyPatch) -> KimiHook:
    """A hook that calls the peer itself."""
    return connect_to(monkeypatch, place.base_url, model=place.peer.model)


@pytest.fixture
def relay(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A port before the peer that notes the requests; the connection leads through it."""
    relay = Relay(place.base_url)
    relay.open()
    connect_to(monkeypatch, relay.base_url, model=place.peer.model)
    yield relay
    relay.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Print the table; what did not run to its end is not said to work."""
    has_ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    failed = {name for report in terminalreporter.getreports("failed") for name in PEERS if f"[{name}" in report.nodeid}
    terminalreporter.section("peers")
    terminalreporter.write_line(TABLE_HEAD)
    for name, peer in PEERS.items():
        works = "upload, create, poll, list, download, cancel, delete"
        if name in failed or name not in FACTS or not has_ended:
            works = "not all, see above" if name in failed else "not seen"
        cells = (f"{name} {peer.version}", "; ".join(FACTS.get(name, ["not seen"])), works)
        terminalreporter.write_line(f"| {' | '.join(cells)} |")
