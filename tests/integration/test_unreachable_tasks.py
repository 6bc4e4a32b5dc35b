"""Tasks whose network is in the way: waits outlast an outage, and end after minutes where somebody has to act."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.exceptions import KimiBatchError, KimiConnectionConfigError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.records.watch import Watch
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.networks import (
    PASSWORD,
    Network,
    closed_port,
    expired,
    network,
    proxy_says,
    says,
    self_signed,
)
from tests.support.raw_server import KEY, connect_to
from tests.support.relay import Relay
from tests.support.requests import ATTEMPT, order, submit
from tests.support.tasks import resume_task, run_task
from tests.support.waiting import from_poke_to_poke, in_triggerer, sensor, wait_in_worker

HOUR = 3600.0

Wait = Callable[[KimiHook, KimiSimulator, Watch, LogRecord], BatchEvent]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Network]:
    with network(monkeypatch, tmp_path) as found:
        yield found


def plain_http(net: Network) -> str:
    return f"https://{net.serves(says(b'HTTP/1.1 400 Bad Request'))}/v1"


def no_ca_file(net: Network) -> str:
    net.sets("SSL_CERT_FILE", "/nowhere/ca")
    return "https://gateway.invalid/v1"


def no_socksio(net: Network) -> str:
    net.monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    net.sets("ALL_PROXY", f"socks5://somebody:{PASSWORD}@proxy:1080")
    return "https://gateway.invalid/v1"


def invalid_proxy(net: Network) -> str:
    net.sets("HTTPS_PROXY", f"http://somebody:{PASSWORD}@proxy:port")
    return "https://gateway.invalid/v1"


LASTING = {
    "an untrusted certificate": (self_signed, "is not trusted (self-signed certificate)"),
    "a proxy that asks for a login": (proxy_says("407 Proxy Authentication Required"), "asks for a login (HTTP 407)"),
    "plain http": (plain_http, "No TLS connection to "),
    "a CA file that is not there": (no_ca_file, "what SSL_CERT_FILE names (/nowhere/ca) cannot be used"),
    "no package for SOCKS": (no_socksio, "the Python package socksio is not installed"),
    "an invalid proxy": (invalid_proxy, "a variable for proxies cannot be read (HTTPS_PROXY)"),
}

PASSING = {
    "no name": (lambda net: "https://gateway.invalid/v1", "does not resolve"),
    "refused": (lambda net: f"https://127.0.0.1:{closed_port()}/v1", "refuses the connection"),
    "an expired certificate": (expired, "(certificate has expired)"),
    "a proxy that is out": (proxy_says("503 Out"), "did not connect to gateway.invalid (HTTP 503)"),
}


modes = pytest.mark.parametrize(
    "mode", [in_triggerer, wait_in_worker, from_poke_to_poke], ids=lambda mode: mode.__name__
)


@modes
@pytest.mark.parametrize(("make", "words"), LASTING.values(), ids=LASTING)
def test_what_somebody_has_to_set_right_ends_a_wait_after_ten_minutes(
    net: Network, make: Callable[[Network], str], words: str, mode: Wait
) -> None:
    hook = connect_to(net.monkeypatch, make(net))
    with KimiSimulator(speed=0) as sim:  # for its clock
        begun = sim.now()
        event = mode(hook, sim, Watch(("batch_1",), 60.0, sim.now() + 30 * HOUR), log := LogRecord())
        assert 600 <= sim.now() - begun <= 600 + 2 * 60
    assert (event.outcome, event.retryable) == ("failed", True)
    assert words in event.message
    assert PASSWORD not in event.message
    (doubt,) = [line for line in log.warnings if "The wait goes on for 10 minutes" in line]
    assert "No batch can be read." in doubt
    assert words in doubt


@modes
@pytest.mark.parametrize(("make", "words"), PASSING.values(), ids=PASSING)
def test_an_outage_of_hours_ends_no_wait(net: Network, make: Callable[[Network], str], words: str, mode: Wait) -> None:
    hook = connect_to(net.monkeypatch, make(net))
    with KimiSimulator(speed=0) as sim:
        event = mode(hook, sim, Watch(("batch_1",), HOUR / 2, sim.now() + 8 * HOUR), log := LogRecord())
    assert event.outcome == "timed_out"
    assert words in event.message
    assert any("batches go on as they were" in line for line in log.warnings)


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("name", ["an untrusted certificate", "no package for SOCKS"])
def test_a_sensor_behind_it_defers_and_fails_in_words_once_its_wait_has_ended(
    net: Network, name: str, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = LASTING[name]
    connect_to(net.monkeypatch, make(net))
    task = sensor("batch_1", deferrable=deferrable)
    if deferrable:
        assert run_task(task).deferred is not None
        assert words in capsys.readouterr().out
    ended = BatchEvent("failed", {}, f"Batch batch_1 could not be read: {words}", retryable=True)
    with pytest.raises(KimiBatchError, match="Not read, so perhaps running and billed: batch_1") as caught:
        resume_task(task, ended.to_dict())
    assert words in str(caught.value)
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["an untrusted certificate", "a proxy that asks for a login", "no package for SOCKS"])
def test_a_create_behind_it_fails_at_once_with_its_cause(net: Network, name: str) -> None:
    make, words = LASTING[name]
    connect_to(net.monkeypatch, make(net))
    task = KimiCreateBatchOperator(task_id="label", input=["a prompt"])
    with pytest.raises(AirflowFailException) as caught:
        run_task(task)
    assert isinstance(caught.value, (KimiNoAnswerError, KimiConnectionConfigError))
    assert words in str(caught.value)
    assert caught.value.__cause__ is not None
    assert "a prompt" not in str(caught.value.__cause__)


# Creates


def submitted(net: Network, answers: int) -> tuple[list[str], KimiSimulator, LogRecord]:
    """Submit over a port that closes behind so many answers, and opens again in the first pause."""
    log = LogRecord()
    with KimiSimulator(speed=0, api_key=KEY) as sim:
        relay = Relay(sim.base_url)
        relay.open(answers)
        submit(connect_to(net.monkeypatch, relay.base_url), order(["a"]), ATTEMPT, log, lambda seconds: relay.open())
        relay.close()
    return relay.requests, sim, log


def test_a_create_that_was_never_sent_is_sent_again_without_a_search(net: Network) -> None:
    whole, _, _ = submitted(net, answers=-1)
    requests, sim, log = submitted(net, answers=whole.index("POST /v1/batches"))
    assert requests == whole, "nothing more was asked"
    assert len(sim.batches) == 1
    (line,) = log.warnings
    assert " refuses the connection while creating a batch from file " in line
    assert "The call was not sent" in line
    assert "Trying again in 1 s." in line


def test_a_create_that_can_not_be_sent_leaves_nothing_in_doubt(net: Network) -> None:
    whole, _, _ = submitted(net, answers=-1)
    with KimiSimulator(speed=0, api_key=KEY) as sim:
        relay = Relay(sim.base_url)
        relay.open(whole.index("POST /v1/batches"))
        pauses: list[float] = []
        with pytest.raises(KimiNoAnswerError, match="The call was not sent") as caught:
            submit(connect_to(net.monkeypatch, relay.base_url), order(["a"]), ATTEMPT, LogRecord(), pauses.append)
    assert pauses == [1.0, 4.0, 15.0]
    assert "unknown" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.retryable
