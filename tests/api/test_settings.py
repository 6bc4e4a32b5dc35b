"""The fields of a connection, as people may type them."""

import pytest

from airflow_provider_kimi.exceptions import KimiConnectionConfigError
from tests.support.samples import make_settings

CN = "https://api.moonshot.cn/v1"
INTL = "https://api.moonshot.ai/v1"


def test_a_connection_needs_only_a_key() -> None:
    settings = make_settings()
    assert settings.base_url == CN
    assert settings.region == "cn"
    assert settings.model == "kimi-k2.6"
    assert settings.timeout_seconds == 120.0
    assert settings.console_url is None
    assert settings.conn_id == "kimi_default"


def test_every_field_of_a_connection_can_be_set() -> None:
    settings = make_settings(
        host="https://gateway.example/kimi/v1",
        password=" sk-mine\n",
        region="intl",
        model="kimi-k2.7-code",
        timeout="30",
        console_url="https://console.example/{batch_id}",
    )
    assert settings.api_key == "sk-mine"
    assert settings.base_url == "https://gateway.example/kimi/v1"
    assert settings.model == "kimi-k2.7-code"
    assert settings.timeout_seconds == 30.0
    assert settings.console_url == "https://console.example/{batch_id}"


def test_null_and_empty_fields_of_a_connection_count_as_unset() -> None:
    unset = make_settings(host="", region=None, model="", timeout="", console_url="")
    assert unset == make_settings(host=None, region="", model=None, timeout=None, console_url=None)
    assert unset == make_settings()


@pytest.mark.parametrize(
    ("region", "base_url"), [pytest.param("cn", CN, id="cn"), pytest.param("intl", INTL, id="intl")]
)
def test_a_region_selects_the_base_url(region: str, base_url: str) -> None:
    settings = make_settings(region=region)
    assert (settings.base_url, settings.region) == (base_url, region)


@pytest.mark.parametrize(
    ("host", "base_url", "region"),
    [
        pytest.param("https://api.moonshot.ai/v1", INTL, "intl", id="the platform, in full"),
        pytest.param("api.moonshot.ai", INTL, "intl", id="a bare name is https and ends in v1"),
        pytest.param("https://api.moonshot.ai/v1/", INTL, "intl", id="trailing slash"),
        pytest.param(" https://api.moonshot.ai/v1 ", INTL, "intl", id="spaces around it"),
        pytest.param("HTTPS://API.MOONSHOT.AI/v1", "https://API.MOONSHOT.AI/v1", "intl", id="upper case"),
        pytest.param("https://api.moonshot.ai:443/v1", "https://api.moonshot.ai:443/v1", "intl", id="written port"),
        pytest.param("gateway.example", "https://gateway.example/v1", None, id="a gateway has no region"),
        pytest.param("https://gateway.example/kimi", "https://gateway.example/kimi", None, id="a path is kept"),
        pytest.param("localhost", "http://localhost/v1", None, id="bare localhost is http"),
        pytest.param("http://localhost:8765/v1", "http://localhost:8765/v1", None, id="http localhost"),
        pytest.param("127.0.0.1:8765/v1", "http://127.0.0.1:8765/v1", None, id="bare loopback address"),
        pytest.param("http://127.8.9.1/v1", "http://127.8.9.1/v1", None, id="all of 127/8 is loopback"),
        pytest.param("http://[::1]:8765/v1", "http://[::1]:8765/v1", None, id="loopback IPv6"),
        pytest.param("[::1]:8765", "http://[::1]:8765/v1", None, id="bare loopback IPv6"),
        pytest.param("https://localhost/v1", "https://localhost/v1", None, id="https localhost stays https"),
    ],
)
def test_the_host_of_a_connection_decides_where_calls_go(host: str, base_url: str, region: str | None) -> None:
    settings = make_settings(host=host, region="cn")
    assert (settings.base_url, settings.region) == (base_url, region)


@pytest.mark.parametrize(
    ("host", "port", "base_url"),
    [
        pytest.param("localhost", 8765, "http://localhost:8765/v1", id="added"),
        pytest.param("localhost:1", 8765, "http://localhost:1/v1", id="the one in the host wins"),
        pytest.param("http://[::1]/v1", 8765, "http://[::1]:8765/v1", id="added to IPv6"),
        pytest.param(None, 443, CN, id="without a host it may be the usual one"),
    ],
)
def test_the_port_of_a_connection_is_used_if_the_host_has_none(host: str | None, port: int, base_url: str) -> None:
    assert make_settings(host=host, port=port).base_url == base_url


@pytest.mark.parametrize(
    "host",
    [
        "https://api.moonshot.ai.evil.example/v1",
        "https://evil-api.moonshot.ai.example/v1",
        "https://notapi.moonshot.ai/v1",
        "https://evil.example/api.moonshot.ai/v1",
        "https://moonshot.ai/v1",
    ],
)
def test_a_host_that_looks_like_the_platform_has_no_region(host: str) -> None:
    """Host names are compared whole, and the configured one is called."""
    settings = make_settings(host=host, region="intl")
    assert settings.region is None
    assert settings.base_url == host


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        pytest.param("http://gateway.example/v1", "would send its key unencrypted to 'gateway.example'", id="http"),
        pytest.param("http://localhost.evil.example/v1", "would send its key unencrypted", id="not localhost"),
        pytest.param("http://0.0.0.0:8765/v1", "would send its key unencrypted", id="any-address is not loopback"),
        pytest.param("ftp://localhost/v1", "would send its key unencrypted", id="other scheme"),
        pytest.param("https://user:pw@gateway.example/v1", "credentials or a query", id="credentials"),
        pytest.param("https://api.moonshot.ai@evil.example/v1", "credentials or a query", id="user part"),
        pytest.param("https://gateway.example/v1?key=1", "credentials or a query", id="query"),
        pytest.param("https://gateway.example/v1#x", "credentials or a query", id="fragment"),
        pytest.param("https://gateway.example:x/v1", "is not a URL", id="port is not a number"),
        pytest.param("localhost:99999", "is not a URL", id="port too high"),
        pytest.param("https://:@h/v1", "credentials or a query", id="empty credentials"),
        pytest.param("[::1", "is not a URL: '\\[::1'", id="open bracket"),
        pytest.param("http://[::1/v1", "is not a URL", id="open bracket in a URL"),
        pytest.param("https:///v1", "has a Base URL without a valid host name: 'https:///v1'", id="no name"),
        pytest.param("https://", "has a Base URL without a valid host name: 'https://'", id="scheme only"),
        pytest.param("https:", "has a Base URL without a valid host name: 'https:'", id="half a scheme"),
        pytest.param("/", "has a Base URL without a valid host name: '/'", id="slash only"),
        pytest.param("a b", "has a Base URL without a valid host name: 'a b'", id="two words"),
        pytest.param("https://a b/v1", "has a Base URL without a valid host name", id="a space in the name"),
    ],
)
def test_a_host_that_must_not_be_called_is_refused(host: str, fault: str) -> None:
    with pytest.raises(KimiConnectionConfigError, match=fault) as caught:
        make_settings(host=host)
    assert "Nothing was sent." in str(caught.value)
    assert "'kimi_default'" in str(caught.value)


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        pytest.param(None, "has no API key", id="none"),
        pytest.param("", "has no API key", id="empty"),
        pytest.param(" \n", "has no API key", id="blank"),
        pytest.param("sk-abc0123456789\u200b", "an invalid character", id="invisible character"),
        pytest.param("sk-abc0123456789\nx", "an invalid character", id="two lines"),
        pytest.param("sk-kimi-abc0123456789", "the key of a Kimi Code subscription", id="subscription key"),
    ],
)
def test_a_key_that_cannot_work_is_refused(password: str | None, fault: str) -> None:
    with pytest.raises(KimiConnectionConfigError, match=fault) as caught:
        make_settings(password=password)
    assert "abc0123456789" not in str(caught.value)


@pytest.mark.parametrize("region", ["CN", "us", "moonshot.cn", 1, True, ["cn"], {"cn": 1}], ids=repr)
def test_an_unknown_region_is_refused_with_a_list_of_known_ones(region: object) -> None:
    with pytest.raises(KimiConnectionConfigError, match=r"Use one of cn, intl\."):
        make_settings(region=region)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [pytest.param(30, 30.0, id="int"), pytest.param(0.5, 0.5, id="float"), pytest.param("30", 30.0, id="text")],
)
def test_a_timeout_may_be_a_number_or_text(timeout: object, seconds: float) -> None:
    assert make_settings(timeout=timeout).timeout_seconds == seconds


@pytest.mark.parametrize("timeout", [0, -1, "0", "120s", "inf", "nan", True, False, [30]], ids=repr)
def test_a_timeout_that_is_not_a_positive_number_is_refused(timeout: object) -> None:
    with pytest.raises(KimiConnectionConfigError, match="has timeout"):
        make_settings(timeout=timeout)


def test_the_key_is_not_in_the_text_of_settings() -> None:
    settings = make_settings(password="sk-secret0123")
    assert settings.api_key == "sk-secret0123"
    assert "sk-secret0123" not in repr(settings)
    assert "sk-secret0123" not in str(settings)


def test_a_colon_without_a_port_is_dropped_from_the_base_url() -> None:
    assert make_settings(host="https://h:/v1").base_url == "https://h/v1"
    assert make_settings(host="https://h:", port=80).base_url == "https://h:80/v1"


@pytest.mark.parametrize("name", ["region", "model", "console_url"])
def test_an_extra_that_is_not_text_is_refused(name: str) -> None:
    with pytest.raises(KimiConnectionConfigError, match=name):
        make_settings(**{name: ["x"]})  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "most"), [(None, None), ("", None), (3, 3), ("3", 3), (1.0, 1)])
def test_the_most_batches_in_flight_may_be_a_number_or_text(given: object, most: int | None) -> None:
    assert make_settings(max_in_flight=given).max_in_flight == most


@pytest.mark.parametrize("given", [0, -1, 1.5, "many", True], ids=repr)
def test_most_batches_in_flight_that_are_no_whole_number_are_refused(given: object) -> None:
    with pytest.raises(KimiConnectionConfigError, match=r"has max_in_flight .*\. Nothing was sent\. Give a whole"):
        make_settings(max_in_flight=given)
