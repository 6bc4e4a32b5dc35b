"""What the test of a connection says beside its verdict, which no other read can change or hold up."""

import json
import time
from collections.abc import Callable
from io import BytesIO

import pytest

from airflow_provider_kimi.api.models import Model
from airflow_provider_kimi.api.settings import read_settings
from airflow_provider_kimi.hooks.findings import READ_SECONDS, models_in_words
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.raw_server import KEY, Pieces, connect_to, raw_server, reply

MODELS = {"data": [{"id": "kimi-k2.6"}]}
BALANCE = {"data": {"available_balance": 49.5}}
FILES = {"data": [{"id": "file_1"}, {"id": "file_2"}], "has_more": True}


def said_by(monkeypatch: pytest.MonkeyPatch, **answers: Callable[[], Pieces]) -> str:
    """What the test says of a host that answers these calls so, and the others well; the key works there."""
    usual = {"models": MODELS, "balance": BALANCE, "files": FILES}

    def answer(request: bytes) -> Pieces:
        name = request.split(b" ")[1].decode().rpartition("/")[2].partition("?")[0]
        return answers[name]() if name in answers else [reply(json.dumps(usual[name]).encode())]

    with raw_server(answer) as server:
        works, said = connect_to(monkeypatch, server.base_url).test_connection()
    assert works
    return said


def test_the_test_says_the_models_the_balance_and_the_files_that_it_found(
    sim: KimiSimulator, hook: KimiHook, connect: Connect
) -> None:
    hook.upload_file(BytesIO(b"{}"), "a.png", "image")
    assert hook.test_connection() == (
        True,
        f"{sim.base_url} (not Kimi's own host; prices of region cn) accepts the key. It may use 4 models, kimi-k2.6 "
        "of this connection among them. Balance: 1,000.00 CNY. Files: 1 of 1,000 that an account may have.",
    )
    assert "Balance: 1,000.00 USD." in connect(sim, region="intl").test_connection()[1]


def test_a_model_of_the_connection_that_the_key_may_not_use_is_named(sim: KimiSimulator, connect: Connect) -> None:
    works, said = connect(sim, model="kimi-k9").test_connection()
    assert works
    assert "It may use 4 models (kimi-k3, kimi-k2.6, " in said
    assert "), but not kimi-k9, the model of this connection." in said


def test_the_region_of_kimis_own_host_is_named() -> None:
    settings = read_settings("c", host=None, port=None, password=KEY, extra={"region": "intl"})
    said = models_in_words(settings, [Model(id="kimi-k2.6")])
    assert said.startswith("https://api.moonshot.ai/v1 (region intl) accepts the key. It may use 1 model, kimi-k2.6 of")


def test_a_host_that_does_not_show_all_files_is_told_of_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Files: at least 2 of 1,000" in said_by(monkeypatch)


REFUSED = {
    "HTTP 404": lambda: [reply(b'{"error": {"message": "no route"}}', "404 Not Found")],
    "HTTP 403": lambda: [reply(f'{{"error": {{"message": "{KEY}"}}}}'.encode(), "403 Forbidden")],
    "HTTP 500": lambda: [reply(b"<html>", "500 Internal Server Error")],
    "the answer is not Kimi's": lambda: [reply(b"<html>hello</html>")],
    "no answer": lambda: [b"not HTTP\r\n\r\n"],
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.parametrize(("name", "what"), [("balance", "Balance"), ("files", "Files")])
def test_a_read_that_a_gateway_refuses_changes_no_verdict(
    monkeypatch: pytest.MonkeyPatch, name: str, what: str, reason: str
) -> None:
    said = said_by(monkeypatch, **{name: REFUSED[reason]})
    assert f"{what}: not readable ({reason})." in said
    assert said.count("not readable") == 1
    assert KEY not in said


def trickled() -> Pieces:
    """A byte every half second, for a minute."""
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"
    for _ in range(120):
        yield b" "
        yield 0.5


def test_slow_reads_are_given_up_after_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    said = said_by(monkeypatch, balance=trickled, files=trickled)
    assert time.monotonic() - begun < 2 * READ_SECONDS + 1
    assert said.endswith("Balance: not readable (no answer within 3 s). Files: not readable (no answer within 3 s).")


def test_pages_of_files_that_never_end_are_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(range(10_000))

    def page() -> Pieces:
        yield 0.2
        yield reply(json.dumps({"data": [{"id": f"file_{next(ids)}"}], "has_more": True}).encode())

    begun = time.monotonic()
    assert "Files: not readable (no answer within 3 s)." in said_by(monkeypatch, files=page)
    assert time.monotonic() - begun < READ_SECONDS + 1


def test_a_host_that_repeats_the_key_as_a_model_does_not_make_it_known(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"data": [{"id": f"{KEY}"}, {"id": "x" * 10_000}]}
    said = said_by(monkeypatch, models=lambda: [reply(json.dumps(models).encode())])
    assert "It may use 2 models (<hidden>, xxx" in said
    assert KEY not in said
    assert len(said) < 700
