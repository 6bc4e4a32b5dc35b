"""TLS is always verified: nothing of a connection or of the environment switches that off by accident."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_kimi.api.extra import NAMES
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.support.networks import Network, certificate, network, over_tls
from tests.support.raw_server import KEY, connect_to, read_message, reply

#: What switches verification off in Python, in other HTTP clients, or in other programs.
SWITCHES = {
    "PYTHONHTTPSVERIFY": "0",
    "CURL_CA_BUNDLE": "",
    "REQUESTS_CA_BUNDLE": "",
    "SSL_NO_VERIFY": "1",
    "SSL_VERIFY": "false",
    "HTTPX_VERIFY": "0",
    "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    "GIT_SSL_NO_VERIFY": "true",
    "OPENAI_VERIFY_SSL_CERTS": "false",
    "OPENAI_VERIFY_SSL": "0",
    "SSL_CERT_FILE": "",
    "SSL_CERT_DIR": "",
}

#: Names by which other clients and providers switch it off in an extra.
EXTRAS = ("verify", "verify_ssl", "ssl_verify", "insecure", "tls_verify", "check_hostname", "cert_reqs", "trust_env")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Network]:
    with network(monkeypatch, tmp_path) as found:
        yield found


def serve(net: Network, got: list[bytes]) -> tuple[str, Path]:
    """A platform over TLS that keeps what reaches it; its Base URL, and its certificate."""
    path = certificate(net.folder)

    def answer(connection: ssl.SSLSocket) -> None:
        got.append(read_message(connection))
        connection.sendall(reply(b'{"id": "batch_1", "status": "completed"}'))

    return f"https://{net.serves(over_tls(path, answer))}/v1", path  # type: ignore[arg-type]


async def read_async(hook: KimiHook) -> None:
    try:
        await hook.aget_batch("batch_1")
    finally:
        await hook.aclose()


def read(hook: KimiHook, is_async: bool) -> None:
    asyncio.run(read_async(hook)) if is_async else hook.get_batch("batch_1")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("variable", [*SWITCHES, "all of them"])
def test_no_variable_lets_a_certificate_pass_that_nobody_has_signed(
    net: Network, monkeypatch: pytest.MonkeyPatch, variable: str, is_async: bool
) -> None:
    got: list[bytes] = []
    base_url, _ = serve(net, got)
    for name in SWITCHES if variable == "all of them" else (variable,):
        net.sets(name, SWITCHES[name])
    with pytest.raises(KimiNoAnswerError, match="is not trusted") as caught:
        read(connect_to(monkeypatch, base_url), is_async)
    assert caught.value.kind == "certificate"
    assert got == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_certificate_of_ssl_cert_file_is_trusted(
    net: Network, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """So the test above is refused for the certificate alone."""
    got: list[bytes] = []
    base_url, path = serve(net, got)
    net.sets("SSL_CERT_FILE", path)
    read(connect_to(monkeypatch, base_url), is_async)
    assert f"Bearer {KEY}".encode() in got[0]


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("value", [False, "false", 0])
def test_no_name_of_an_extra_switches_verification_off(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    fields = {"conn_type": "kimi", "password": KEY, "extra": json.dumps({name: value})}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_TLS", json.dumps(fields))
    with pytest.raises(KimiConnectionConfigError, match=f"has '{name}' in its extra, which means nothing there"):
        KimiHook("kimi_tls").get_conn()


def test_no_name_that_an_extra_may_hold_is_about_tls() -> None:
    assert not [name for name in NAMES if any(word in name for word in ("ssl", "tls", "verify", "cert"))]


@pytest.mark.parametrize("host", ["http://api.moonshot.cn/v1", "http://10.0.0.1/v1", "http://127.0.0.1.example.com/v1"])
def test_plain_http_is_refused_but_for_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    fields = {"conn_type": "kimi", "password": KEY, "host": host}
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_TLS", json.dumps(fields))
    with pytest.raises(KimiConnectionConfigError):
        KimiHook("kimi_tls").get_conn()
