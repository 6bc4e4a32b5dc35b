"""Connections as people write them: each field is used, or refused by its name; no call goes to another host."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.api.extra import NAMES
from airflow_provider_kimi.api.settings import ConnectionSettings, read_settings
from airflow_provider_kimi.exceptions import KimiConnectionConfigError
from airflow_provider_kimi.get_provider_info import CONNECTION_FIELDS
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.networks import VARIABLES
from tests.support.raw_server import raw_server, reply

KEY = "sk-0123456789abcdef"

GATEWAY = "https://gateway.example.com"


def read(monkeypatch: pytest.MonkeyPatch, written: str | dict[str, Any]) -> ConnectionSettings:
    """The settings of a connection that is written as a URI, or as fields in JSON."""
    text = written if isinstance(written, str) else json.dumps({"conn_type": "kimi", "password": KEY} | written)
    monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", text)
    return KimiHook().settings


@pytest.mark.parametrize(
    ("written", "base_url"),
    [
        pytest.param(f"kimi://:{KEY}@gateway.example.com/openai/v1", f"{GATEWAY}/openai/v1", id="path"),
        pytest.param(f"kimi://:{KEY}@gateway.example.com/v1/", f"{GATEWAY}/v1", id="path and slash"),
        pytest.param(f"kimi://:{KEY}@gateway.example.com:8443/v2", f"{GATEWAY}:8443/v2", id="port and path"),
        pytest.param(f"kimi://:{KEY}@gateway.example.com", f"{GATEWAY}/v1", id="host alone"),
        pytest.param(f"kimi://:{KEY}@127.0.0.1:8765/kimi", "http://127.0.0.1:8765/kimi", id="loopback"),
        pytest.param(f"kimi://https://:{KEY}@gateway.example.com/a/v1", f"{GATEWAY}/a/v1", id="a scheme in front"),
        pytest.param(f"kimi://:{KEY}@https%3A%2F%2Fgateway.example.com%2Fa%2Fv1", f"{GATEWAY}/a/v1", id="encoded URL"),
        pytest.param(f"kimi://:{KEY}@https%3A%2F%2Fgateway.example.com/a/v1", f"{GATEWAY}/a/v1", id="half encoded URL"),
        pytest.param(f"kimi://:{KEY}@gateway.example.com/https", f"{GATEWAY}/v1", id="a scheme behind"),
        pytest.param(f"kimi://:{KEY}@/v1?region=intl", "https://api.moonshot.ai/v1", id="the path of the region's own"),
        pytest.param({"host": "gateway.example.com", "schema": "https"}, f"{GATEWAY}/v1", id="https in schema"),
        pytest.param({"host": "localhost", "schema": "https"}, "https://localhost/v1", id="https to this machine"),
        pytest.param({"host": "gateway.example.com/a", "schema": "HTTPS"}, f"{GATEWAY}/a", id="HTTPS in schema"),
        pytest.param({"host": f"{GATEWAY}/v1", "schema": "/v1"}, f"{GATEWAY}/v1", id="the same path twice"),
        pytest.param({"host": f"{GATEWAY}/v1/chat/completions"}, f"{GATEWAY}/v1", id="chat call"),
        pytest.param({"host": f"{GATEWAY}/openai/chat/completions/"}, f"{GATEWAY}/openai", id="chat call without v1"),
        pytest.param({"host": f"{GATEWAY}/a/v1/batches"}, f"{GATEWAY}/a/v1", id="batches"),
        pytest.param({"host": f"{GATEWAY}/v1/files/"}, f"{GATEWAY}/v1", id="files"),
        pytest.param({"host": f"{GATEWAY}/v1/models"}, f"{GATEWAY}/v1", id="models"),
        pytest.param({"host": f"{GATEWAY}/v1/batches/batch_1/cancel"}, f"{GATEWAY}/v1", id="a call of one batch"),
        pytest.param({"host": "gateway.example.com", "schema": "v1/files"}, f"{GATEWAY}/v1", id="files in schema"),
        pytest.param({"host": f"{GATEWAY}//v1//"}, f"{GATEWAY}/v1", id="too many slashes"),
        pytest.param({"host": f"{GATEWAY}/files"}, f"{GATEWAY}/files", id="a gateway's own path"),
        pytest.param(
            {"host": "api.moonshot.ai/v1/batches"}, "https://api.moonshot.ai/v1", id="batches of the platform"
        ),
        pytest.param({"port": 443}, "https://api.moonshot.cn/v1", id="the port that calls use anyway"),
    ],
)
def test_a_host_and_a_path_are_used_in_every_form(
    monkeypatch: pytest.MonkeyPatch, written: str | dict[str, Any], base_url: str
) -> None:
    assert read(monkeypatch, written).base_url == base_url


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"region": "intl"}, id="an object"),
        pytest.param('{"region": "intl"}', id="text"),
        pytest.param(json.dumps('{"region": "intl"}'), id="text within text"),
        pytest.param(json.dumps(json.dumps('{"region": "intl"}')), id="text within text within text"),
        pytest.param({"region": "intl", "comment": None, "base_url": ""}, id="what is empty says nothing"),
    ],
)
def test_an_extra_is_used_however_often_it_was_encoded(monkeypatch: pytest.MonkeyPatch, extra: object) -> None:
    assert read(monkeypatch, {"extra": extra}).base_url == "https://api.moonshot.ai/v1"


@pytest.mark.parametrize("extra", ["", " ", "null", '""', "{}", None, {}], ids=repr)
def test_an_extra_that_is_empty_says_nothing(monkeypatch: pytest.MonkeyPatch, extra: object) -> None:
    assert read(monkeypatch, {"extra": extra}).region == "cn"


JSON_OBJECT = r"has an extra that is not a JSON object\. Nothing was sent\. Write it as \{\"region\": \"intl\"\}"

TWO_PATHS = r"has two paths, '/a/v1' in its Base URL and '/b/v1' in Schema"


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        pytest.param({"port": ""}, "https://api.moonshot.cn/v1", id="empty"),
        pytest.param({"port": "0"}, "https://api.moonshot.cn/v1", id="none"),
        pytest.param({"port": "443"}, "https://api.moonshot.cn/v1", id="the one that calls use anyway"),
        pytest.param({"port": "0", "host": "gateway.example.com"}, f"{GATEWAY}/v1", id="none, of a gateway"),
        pytest.param({"port": "8443 ", "host": "gateway.example.com"}, f"{GATEWAY}:8443/v1", id="of a gateway"),
    ],
)
def test_a_port_may_be_text_as_some_secrets_backends_give_it(fields: dict[str, str], base_url: str) -> None:
    given: dict[str, Any] = {"host": None, "password": KEY, "extra": None} | fields
    assert read_settings("kimi_default", **given).base_url == base_url


@pytest.mark.parametrize("port", ["https", "-1", -1, 65536, "1.5", "८"], ids=repr)
def test_a_port_that_is_none_is_refused(port: int | str) -> None:
    with pytest.raises(KimiConnectionConfigError, match=r"has port .*Give a whole number up to 65535"):
        read_settings("kimi_default", host="gateway.example.com", port=port, password=KEY, extra=None)


OWN_HOST = r"has the path '/anthropic' for Kimi's own host, whose API is at https://api\.moonshot\.ai/v1"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        pytest.param({"extra": [1, 2]}, JSON_OBJECT, id="a list"),
        pytest.param({"extra": 5}, JSON_OBJECT, id="a number"),
        pytest.param({"extra": "{broken"}, JSON_OBJECT, id="broken JSON"),
        pytest.param({"host": "https://[v1.x]/"}, r"is not a URL: 'https://\[v1\.x\]/'", id="no address in brackets"),
        pytest.param({"extra": "{'region': 'intl'}"}, JSON_OBJECT, id="Python's quotes"),
        pytest.param({"extra": "region=intl"}, JSON_OBJECT, id="no JSON"),
        pytest.param({"extra": json.dumps("intl")}, JSON_OBJECT, id="a word within text"),
        pytest.param(f"kimi://:{KEY}@h/?__extra__=%5B1%5D", JSON_OBJECT, id="a list in a URI"),
        pytest.param({"host": f"{GATEWAY}/a/v1", "schema": "b/v1"}, TWO_PATHS, id="two paths"),
        pytest.param({"host": "https://api.moonshot.ai/anthropic"}, OWN_HOST, id="a path that Kimi has not"),
        pytest.param({"schema": "openai/v1"}, "has the path '/openai/v1' for Kimi's own host", id="a path alone"),
        pytest.param({"host": GATEWAY, "schema": "http"}, "has 'http' in Schema, but https://", id="two schemes"),
        pytest.param({"schema": "http"}, "would send its key unencrypted", id="http to the platform"),
        pytest.param({"host": "gateway.example.com", "schema": "http"}, "unencrypted", id="http in schema"),
        pytest.param({"schema": f"{GATEWAY}/v1"}, "in Schema, which is not a path", id="a URL in schema"),
        pytest.param({"port": 8443}, "has port 8443 but no Base URL", id="a port alone"),
        pytest.param(f"kimi://:{KEY}@:8443/v1", "has port 8443 but no Base URL", id="a port alone in a URI"),
        pytest.param(
            f"kimi://:{KEY}@{GATEWAY}/v1",
            "There is no .*: a URI names its host without https://",
            id="a URL within a URI",
        ),
    ],
)
def test_what_would_be_another_host_or_region_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, written: str | dict[str, Any], says: str
) -> None:
    with pytest.raises(KimiConnectionConfigError, match=says) as caught:
        read(monkeypatch, written)
    assert "'kimi_default'" in str(caught.value)
    assert "Nothing was sent." in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("base_url", "For 'base_url', put the host into Base URL."),
        ("host", "For 'host', put the host into Base URL."),
        ("api_key", "For 'api_key', put the key into the API key field."),
        ("proxy", "For 'proxy', set HTTPS_PROXY where the task runs."),
        ("Region", "For 'Region', write 'region'."),
        ("extra__kimi__region", "For 'extra__kimi__region', write 'region'."),
        ("extra__kimi__base_url", "For 'extra__kimi__base_url', put the host into Base URL."),
        ("timeout_seconds", "For 'timeout_seconds', write 'timeout'."),
        ("default-model", "For 'default-model', write 'model'."),
        ("max_inflight", "For 'max_inflight', write 'max_in_flight'."),
        ("managed_by", "The extra may hold region, model, timeout, console_url,"),
    ],
)
def test_an_unknown_name_in_an_extra_is_refused_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    with pytest.raises(KimiConnectionConfigError) as caught:
        read(monkeypatch, {"extra": {name: f"of {KEY}", "region": "intl"}})
    assert f"has {name!r} in its extra, which means nothing there. Nothing was sent. " in str(caught.value)
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


def test_several_unknown_names_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    says = "has 'Region', 'note' in its extra, .* For 'Region', write 'region'\\. The extra may hold"
    with pytest.raises(KimiConnectionConfigError, match=says):
        read(monkeypatch, {"extra": {"Region": "intl", "note": "ours"}})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param(f"kimi://{KEY}@gateway.example.com/v1", "has a key in its Login", id="in login, by URI"),
        pytest.param({"login": KEY}, "has a key in its Login", id="in login too"),
        pytest.param({"host": KEY}, "has a key in its Base URL", id="in the host"),
        pytest.param({"schema": KEY}, "has a key in its Schema", id="in schema"),
        pytest.param(
            "kimi://gateway-key@gateway.example.com/v1", "has no API key.*kimi://:KEY@HOST", id="a login alone"
        ),
        pytest.param({"password": f"Bearer {KEY}"}, r"an invalid character: a space or .*\('Bearer '", id="Bearer"),
        pytest.param({"password": f'"{KEY}"'}, "an invalid character", id="quotes"),
        pytest.param({"password": f"'{KEY}'"}, "an invalid character", id="single quotes"),
        pytest.param({"password": f"{KEY}\n{KEY}"}, "an invalid character", id="two lines"),
        pytest.param({"host": f"https://me:{KEY}@h:x/v1"}, "is not a URL: its port or brackets", id="in a wrong URL"),
        pytest.param(
            {"host": f"https://h:x/v1?key={KEY}"}, "is not a URL: its port or brackets", id="in a wrong query"
        ),
    ],
)
def test_a_key_that_is_not_alone_in_its_field_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, fields: str | dict[str, Any], says: str
) -> None:
    with pytest.raises(KimiConnectionConfigError, match=says) as caught:
        read(monkeypatch, fields)
    assert KEY not in str(caught.value)


def test_a_login_beside_a_key_and_spaces_around_the_key_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, {"login": "team-a", "password": f" {KEY}\n"}).api_key == KEY


def test_the_host_decides_the_region_where_the_two_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's form stores the region `cn` even if nobody has chosen one."""
    settings = read(monkeypatch, {"host": "https://api.moonshot.ai/v1", "extra": {"region": "cn"}})
    assert (settings.base_url, settings.region, settings.billing_region) == (
        "https://api.moonshot.ai/v1",
        "intl",
        "intl",
    )


def test_the_event_loop_reads_a_connection_as_a_worker_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def base_url() -> str:
        hook = KimiHook()
        client = await hook.aget_conn()
        await hook.aclose()
        return str(client.base_url)

    extra = json.dumps('{"region": "intl"}')
    read(monkeypatch, {"host": "gateway.example.com", "schema": "openai/v1", "extra": extra})
    assert asyncio.run(base_url()) == f"{GATEWAY}/openai/v1/"


def test_calls_go_to_the_path_of_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    with KimiSimulator() as sim:
        read(monkeypatch, f"kimi://:{sim.api_key}@{sim.base_url.removeprefix('http://')}")
        assert KimiHook().list_models()


def test_the_page_repeats_the_messages_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "when-it-does-not-work.md").read_text()
    for written in (
        {"password": None},
        {"login": KEY},
        {"password": f"Bearer {KEY}"},
        {"extra": [1]},
        {"extra": {"Region": "intl", "base_url": GATEWAY}},
        {"host": f"{GATEWAY}/a/v1", "schema": "b/v1"},
        {"host": "https://api.moonshot.ai/anthropic"},
        {"port": 8443},
        {"host": GATEWAY, "schema": "http"},
        {"schema": "https://GATEWAY/v1"},
        {"host": "GATEWAY", "schema": "http"},
    ):
        with pytest.raises(KimiConnectionConfigError) as caught:
            read(monkeypatch, written)
        fault = str(caught.value).removeprefix("Connection 'kimi_default' ").partition(". Nothing was sent.")[0]
        assert f"`{fault}`" in page.replace("'GATEWAY'", "'gateway'")


def test_the_form_has_no_field_that_an_extra_may_not_hold() -> None:
    assert set(CONNECTION_FIELDS) == set(NAMES)


def test_a_host_that_no_client_can_be_built_for_is_blamed_on_the_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its letters only look like those of the platform's."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    read(monkeypatch, {"host": "\uff41\uff50\uff49.moonshot.cn"})
    with pytest.raises(KimiConnectionConfigError, match="'kimi_default' has a Base URL that is not a URL: 'https://"):
        KimiHook().list_models()


@pytest.mark.parametrize("before", ["", "x" * 270], ids=["whole", "where a long text is cut"])
def test_a_key_of_a_gateway_that_its_refusal_repeats_is_not_shown(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """It may look like any word."""
    key = "eyJhbGciOi.team-a.c2lnbmVk"
    said = json.dumps({"error": {"message": f"{before} Invalid token: {key}"}}).encode()
    with raw_server(lambda _: [reply(said, "401 Unauthorized")]) as server:
        read(monkeypatch, {"host": server.base_url, "password": key})
        works, sentence = KimiHook().test_connection()
    assert not works
    assert "eyJhbGciOi" not in sentence


# The test button

FAULTY: dict[str, dict[str, Any]] = {
    "no key": {"password": None},
    "another host's key": {"extra": {"api_key": KEY}},
    "a wrong extra": {"extra": [1]},
    "a wrong region": {"extra": {"region": "us"}},
    "a host that nobody can reach": {"host": "http://127.0.0.1:9/v1"},
    "a host that is not a URL": {"host": "http://[::1"},
}


@pytest.mark.parametrize("fault", FAULTY)
def test_the_button_says_this_connection_and_not_the_id_that_airflow_makes_for_the_test(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Airflow puts the connection into an environment variable under eight random letters and digits."""
    name = "q7Xw2LmA"
    fields = {"conn_type": "kimi", "password": KEY} | FAULTY[fault]
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
    works, sentence = KimiHook(name).test_connection()
    assert not works
    assert name not in sentence
    assert "his connection" in sentence


@pytest.mark.parametrize("status", [401, 403, 404, 405, 500])
def test_no_answer_of_the_platform_makes_the_button_name_that_id(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with KimiSimulator() as sim:
        monkeypatch.setenv("AIRFLOW_CONN_Q7XW2LMA", json.dumps({"host": sim.base_url, "password": sim.api_key}))
        sim.inject("list_models", status=status)
        works, sentence = KimiHook("q7Xw2LmA").test_connection()
    assert not works
    assert "q7Xw2LmA" not in sentence


def test_airflow_tests_a_connection_as_its_page_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes through Airflow's URI form and back."""
    from airflow.models.connection import Connection

    with KimiSimulator() as sim:
        extra = {"region": "intl", "timeout": 30, "model": None}
        tested = Connection("q7Xw2LmA", "kimi", host=sim.base_url, password=sim.api_key, extra=json.dumps(extra))
        monkeypatch.setitem(os.environ, "AIRFLOW_CONN_Q7XW2LMA", tested.get_uri())
        assert KimiHook("q7Xw2LmA").test_connection()[0]
