"""The real `openai` SDK against simulators of a test's own making."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.simulator.wire import KEY

if TYPE_CHECKING:
    from openai import OpenAI

Connector = Callable[[KimiSimulator], "OpenAI"]


class Start(Protocol):
    """Start a simulator whose clock stands still; `switches` are fields of its `Behaviour`."""

    def __call__(self, *, options: dict[str, Any] | None = None, **switches: Any) -> "tuple[KimiSimulator, OpenAI]": ...


@pytest.fixture(scope="session")
def sdk() -> Iterator[Connector]:
    """The SDK, pointed at a simulator; it never retries by itself."""
    from openai import OpenAI

    with OpenAI(base_url="http://127.0.0.1/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield lambda simulator: client.with_options(base_url=simulator.base_url)


@pytest.fixture(scope="session")
def leaving() -> Iterator[ThreadPoolExecutor]:
    """Where simulators end while the next test runs: each takes 0.2 seconds to."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def start(sdk: Connector, leaving: ThreadPoolExecutor) -> Iterator[Start]:
    """Start simulators that are unlike `sim`."""
    running: list[KimiSimulator] = []

    def started(*, options: dict[str, Any] | None = None, **switches: Any) -> "tuple[KimiSimulator, OpenAI]":
        given = {"speed": 0, "behaviour": Behaviour(**switches), **(options or {})}
        running.append(KimiSimulator(**given).__enter__())
        return running[-1], sdk(running[-1])

    yield started
    for simulator in running:
        leaving.submit(simulator.__exit__, None, None, None)


@pytest.fixture
def sim(start: Start) -> KimiSimulator:
    """A simulated platform whose clock stands still until it is advanced."""
    return start()[0]


@pytest.fixture
def client(sim: KimiSimulator, sdk: Connector) -> "OpenAI":
    """The SDK on the simulator `sim`."""
    return sdk(sim)


@pytest.fixture(scope="module")
def lasting() -> Iterator[KimiSimulator]:
    """One simulator for a module's tests, for promises that need no clean state."""
    with KimiSimulator(speed=0) as simulator:
        yield simulator


@pytest.fixture
def lasting_client(lasting: KimiSimulator, sdk: Connector) -> "OpenAI":
    """The SDK on the simulator `lasting`."""
    return sdk(lasting)
