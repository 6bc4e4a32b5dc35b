"""The link to the console: what a connection may name, and what becomes of it."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.console import console_link
from airflow_provider_kimi.exceptions import KimiConnectionConfigError
from tests.support.samples import make_settings

TEMPLATE = "https://console.example/p/7/batches/{batch_id}?in={region}"


@pytest.mark.parametrize(
    ("region", "link"), [("cn", "https://platform.kimi.com/console"), ("intl", "https://platform.kimi.ai/console")]
)
def test_a_connection_without_a_console_url_links_to_the_console_of_its_region(region: str, link: str) -> None:
    settings = make_settings(region=region)
    assert console_link(settings.console_url, settings.billing_region, ["batch-1"]) == link


def test_of_several_batches_the_first_is_linked() -> None:
    assert console_link(TEMPLATE, "cn", ["a", "b"]) == "https://console.example/p/7/batches/a?in=cn"


def test_a_line_break_behind_a_console_url_is_cut_off() -> None:
    assert make_settings(console_url=" https://h/{batch_id}\n").console_url == "https://h/{batch_id}"


def test_without_a_batch_the_link_leads_to_the_host() -> None:
    assert console_link(TEMPLATE, "cn", []) == "https://console.example/"
    assert console_link("http://h:8080/{region}", "intl", []) == "http://h:8080/intl"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_an_id_of_the_platform_stays_in_its_place(batch_id: str) -> None:
    link = console_link(TEMPLATE, "cn", [batch_id])
    assert link.isascii()
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.query) == ("https", "console.example", "in=cn")
    assert parts.path.count("/") == 4
    assert not set(link) & set("<>\"'{}\\ #")


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("javascript:alert(1)", "is not an http(s) URL"),
        ("JavaScript://console.example/%0aalert(1)", "is not an http(s) URL"),
        ("java\tscript:alert(1)", "is not an http(s) URL"),
        ("data:text/html,x", "is not an http(s) URL"),
        ("//console.example", "is not an http(s) URL"),
        ("console.example/{batch_id}", "is not an http(s) URL"),
        ("https://", "is not an http(s) URL"),
        ("https://[console/", "is not a URL"),
        ("https://h:port/", "is not a URL"),
        ("https://me:word@h/", "holds a user, a password or a key"),
        ("https://h/?key=sk-test", "holds a user, a password or a key"),
        ("https://h/a b", "has a space, a quote"),
        ("https://h/a\nb", "has a space, a quote"),
        ("https://h/'x", "has a space, a quote"),
        ("https://h/ä", "has a space, a quote"),
        ("https://{region}.h/", "has other braces"),
        ("https://h/{batch}", "has other braces"),
        ("https://h/{batch_id.__class__}", "has other braces"),
        ("https://h/{{batch_id}}", "has other braces"),
        ("https://h/{batch_id", "has other braces"),
        ("https://h/}", "has other braces"),
    ],
)
def test_what_is_no_template_of_a_link_is_refused_and_not_repeated(template: str, fault: str) -> None:
    with pytest.raises(KimiConnectionConfigError) as refused:
        make_settings(console_url=template, password="sk-test")
    message = str(refused.value)
    assert f"has a console_url in its extra that {fault}" in message
    assert "Nothing was sent. Give an http(s) URL without a user or a key" in message
    assert template not in message.replace("https://platform.kimi.com", "")
    assert "sk-test" not in message
