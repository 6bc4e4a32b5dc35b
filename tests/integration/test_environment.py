"""What reaches the platform is the connection's alone: nothing of the worker's environment, and nothing by a detour."""

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import openai  # noqa: TID253  # its source says which variables it reads
import pytest

from airflow_provider_kimi.exceptions import KimiApiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.support.every_call import ASYNC_CALLS, CALLS, answer_to, call_async
from tests.support.raw_server import KEY, RawServer, connect_to, raw_server, reply

FOREIGN = "foreign"

#: Every variable that some module of the SDK reads, whichever version is installed.
VARIABLES = {
    name
    for path in Path(openai.__file__).parent.rglob("*.py")
    for name in re.findall(r"environ(?:\.get\(|\[)\s*\"(\w+)\"", path.read_text(encoding="utf-8"))
}

#: Names of the headers that a request of ours may have.
HEADERS = {
    *("host", "authorization", "accept", "accept-encoding", "connection", "user-agent"),
    *("content-type", "content-length", "idempotency-key"),
}


def make(hook: KimiHook, call: str) -> object:
    """Make a call by its name, blocking or not."""
    return asyncio.run(call_async(hook, call)) if call in ASYNC_CALLS else CALLS[call](hook)


@pytest.fixture
def worker_of_another(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment in which every variable of the SDK is set for another service."""
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{FOREIGN}-{name}")
    headers = ["Authorization: Bearer sk-foreign", "authorization: Bearer sk-foreign", "X-Internal: foreign-token"]
    headers += ["OpenAI-Organization: foreign", "Cookie: foreign=1", "Host: foreign", "User-Agent: foreign"]
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "\n".join(headers))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://foreign.invalid/v1")
    monkeypatch.setenv("OPENAI_LOG", "debug")
    log = logging.getLogger("openai")
    before = log.level
    log.setLevel(logging.DEBUG)  # as the SDK does for OPENAI_LOG when it is first imported
    yield
    log.setLevel(before)


def test_the_variables_of_the_sdk_are_found() -> None:
    assert {"OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"} <= VARIABLES


@pytest.mark.usefixtures("worker_of_another")
@pytest.mark.parametrize("call", [*CALLS, *ASYNC_CALLS])
def test_no_variable_of_the_sdk_reaches_a_request(
    monkeypatch: pytest.MonkeyPatch, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    with raw_server(answer_to) as server:
        make(connect_to(monkeypatch, server.base_url), call)
        (request,) = server.requests
        assert FOREIGN.encode() not in request
        assert request.lower().count(b"\r\nauthorization: ") == 1
        headers = server.head()
        assert headers["authorization"] == f"Bearer {KEY}"
        assert {name for name in headers if not name.startswith("x-stainless-")} <= HEADERS
    assert not [record for record in caplog.records if record.name.startswith(("openai", "httpx"))]


@pytest.mark.usefixtures("worker_of_another")
def test_a_client_that_a_user_copies_takes_nothing_of_the_environment_either(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(answer_to) as server:
        client = connect_to(monkeypatch, server.base_url).get_conn()
        copied = client.with_options(timeout=5, default_headers={"X-Own": "1"})
        copied.get("/models", cast_to=bytes)
        assert FOREIGN.encode() not in server.requests[0]
        assert (server.head()["authorization"], server.head()["x-own"]) == (f"Bearer {KEY}", "1")
        assert (copied.organization, copied.project, copied.webhook_secret) == (None, None, None)


@pytest.fixture
def levels() -> Iterator[None]:
    """Loggers of the network as they are in a new process."""
    before = {name: logging.getLogger(name).level for name in ("httpcore", "httpcore2")}
    for name in before:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize("call", ["create_batch", "aget_batch"])
def test_a_task_log_at_debug_holds_no_headers_of_answers(
    monkeypatch: pytest.MonkeyPatch, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = reply(b"{}", "429 Too Many", msh_org_id="org-12345", set_cookie="a=b")
    with raw_server(lambda _: [refusal]) as server, pytest.raises(KimiApiError):
        make(connect_to(monkeypatch, server.base_url), call)
    assert "org-12345" not in caplog.text


# Proxies


def refuse(request: bytes) -> list[bytes]:
    return [reply(b"{}", "502 Bad Gateway")]


def use_proxy(monkeypatch: pytest.MonkeyPatch, proxy: RawServer) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("call", ["get_batch", "upload_file", "download_file", "aget_batch"])
def test_a_loopback_connection_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch, name: str, call: str) -> None:
    """The proxy would read the key in clear."""
    with raw_server(refuse) as proxy, raw_server(answer_to) as server:
        use_proxy(monkeypatch, proxy)
        make(connect_to(monkeypatch, f"http://{name}:{server.port}/v1"), call)
        assert len(server.requests) == 1
        assert proxy.requests == []


@pytest.mark.parametrize("call", ["get_batch", "aget_batch"])
def test_an_https_connection_keeps_to_the_proxy_of_its_worker_which_never_sees_the_key(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with raw_server(refuse) as proxy:
        use_proxy(monkeypatch, proxy)
        with pytest.raises(KimiNoAnswerError):
            make(connect_to(monkeypatch, "https://gateway.invalid/v1"), call)
        (request,) = proxy.requests
        assert request.startswith(b"CONNECT gateway.invalid:443 ")
        assert KEY.encode() not in request


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", [*CALLS, *ASYNC_CALLS])
def test_no_redirect_is_followed_and_the_error_names_its_target(
    monkeypatch: pytest.MonkeyPatch, call: str, status: int
) -> None:
    with raw_server(answer_to) as target:

        def redirect(request: bytes) -> list[bytes]:
            location = f"http://user:secret@127.0.0.1:{target.port}/v1/x?token=secret"
            return [reply(b"", f"{status} Elsewhere", location=location)]

        with raw_server(redirect) as server, pytest.raises(KimiApiError) as caught:
            make(connect_to(monkeypatch, server.base_url), call)
        assert target.requests == []
    assert len(server.requests) == 1
    assert caught.value.kind == "redirect"
    assert not caught.value.retryable
    said = str(caught.value)
    assert f"HTTP {status}" in said
    assert f"to 127.0.0.1:{target.port}" in said
    assert "Base URL of connection 'kimi_default'" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("location", "target"),
    [("/v2/batches", "127.0.0.1"), (None, "an address that it does not name"), ("http://[x", "an address that")],
)
def test_a_redirect_without_a_whole_address_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch, location: str | None, target: str
) -> None:
    headers = {} if location is None else {"location": location}
    with raw_server(lambda request: [reply(b"", "307 Elsewhere", **headers)]) as server:
        with pytest.raises(KimiApiError, match=f"to {target}"):
            connect_to(monkeypatch, server.base_url).get_batch("batch_1")
        assert len(server.requests) == 1


def test_the_tests_themselves_run_without_the_variables_of_the_sdk() -> None:
    assert "OPENAI_CUSTOM_HEADERS" not in os.environ
