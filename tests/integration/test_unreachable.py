"""What stands between this machine and the platform: each message says which it was, where, and what to set."""

import asyncio
import re
import ssl
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiNoAnswerError, NoAnswerKind
from airflow_provider_kimi.hooks.kimi import KimiHook
from tests.support.every_call import ASYNC_CALLS, CALLS, call_async
from tests.support.networks import (
    ANSWER,
    PASSWORD,
    Network,
    certificate,
    closed_port,
    connects_to,
    expired,
    hangs,
    hangs_up,
    network,
    over_tls,
    proxy_says,
    says,
    self_signed,
)
from tests.support.raw_server import KEY, connect_to

TIMEOUT = 1.0


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Network]:
    with network(monkeypatch, tmp_path) as found:
        yield found


@dataclass(frozen=True)
class Fault:
    """A fault of the network.

    :param make: Makes it, and returns the Base URL.
    :param words: What the message says. HOST and PROXY stand for host and proxy with their ports.
    :param lasts: Whether somebody has to set it right.
    :param is_sent: Whether the platform may have got the call.
    """

    kind: NoAnswerKind
    make: Callable[[Network], str]
    words: tuple[str, ...]
    lasts: bool = False
    is_sent: bool = False


def of_another_host(net: Network) -> str:
    path = certificate(net.folder, name="other.example")
    net.sets("SSL_CERT_FILE", path)
    return f"https://{net.serves(over_tls(path, says(b'')))}/v1"


def shown_by_a_proxy(net: Network) -> str:
    return net.proxied(net.serves(connects_to(over_tls(certificate(net.folder, name="gateway.invalid"), says(b"")))))


def old_tls(net: Network) -> str:
    """Send the alert that a server of TLS 1.1 sends."""
    return f"https://{net.serves(says(bytes((21, 3, 1, 0, 2, 2, 70))))}/v1"


DNS = "Check the Base URL of connection 'kimi_default', and the DNS of the machine that calls."
ONLY_PROXY = "If only a proxy leads there, set HTTPS_PROXY in the environment of Airflow's workers and triggerers."
NO_PROXY = "or list gateway.invalid in NO_PROXY if no proxy is needed."
CA = "put the file of its CA certificate (PEM) into SSL_CERT_FILE"
BASE_URL = "check scheme and port of the Base URL of connection 'kimi_default'."
GIVEN_BACK = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n" + ANSWER.encode()

FAULTS = {
    "self-signed": Fault(
        "certificate", self_signed, ("The certificate of HOST is not trusted (self-signed certificate)", CA), True
    ),
    "of another host": Fault(
        "certificate",
        of_another_host,
        ("The certificate of HOST is not trusted (IP address mismatch, ", "Check the Base URL"),
        True,
    ),
    "expired": Fault(
        "certificate", expired, ("The certificate of HOST is not trusted (certificate has expired)", "has to renew it")
    ),
    "of a proxy in between": Fault(
        "certificate",
        shown_by_a_proxy,
        ("The certificate of gateway.invalid through the proxy http://PROXY is not trusted (self-signed", CA),
        True,
    ),
    "plain http on an https port": Fault(
        "tls",
        lambda net: f"https://{net.serves(says(b'HTTP/1.1 400 Bad Request'))}/v1",
        ("No TLS connection to HOST could be made (wrong version number)", BASE_URL),
        True,
    ),
    "old TLS": Fault("tls", old_tls, ("No TLS connection to HOST could be made (tlsv1 alert protocol version)",), True),
    "a proxy of http that is asked for over https": Fault(
        "tls",
        lambda net: net.proxied(net.serves(says(b"HTTP/1.1 400 Bad Request")), "https"),
        ("through the proxy https://PROXY could be made", "HTTPS_PROXY asks for TLS to the proxy itself"),
        True,
    ),
    "no name": Fault(
        "name",
        lambda net: "https://gateway.invalid/v1",
        ("The name gateway.invalid does not resolve to an address", DNS, ONLY_PROXY),
    ),
    "a name that cannot be one": Fault(
        "name", lambda net: "https://gateway..com/v1", ("The name gateway..com does not resolve to an address", DNS)
    ),
    "no name of the proxy": Fault(
        "name",
        lambda net: net.proxied("proxy.invalid:3128"),
        ("The name of the proxy http://proxy.invalid:3128 does not resolve", "Correct HTTPS_PROXY", NO_PROXY),
    ),
    "refused": Fault(
        "refused",
        lambda net: f"https://127.0.0.1:{closed_port()}/v1",
        ("HOST refuses the connection", "with its port, and the firewall", ONLY_PROXY),
    ),
    "refused at each address": Fault(
        "refused", lambda net: f"https://localhost:{closed_port()}/v1", ("localhost:", " refuses the connection")
    ),
    "refused by the proxy's port": Fault(
        "refused",
        lambda net: net.proxied(f"127.0.0.1:{closed_port()}"),
        ("The proxy http://PROXY refuses the connection", "Correct HTTPS_PROXY (or ALL_PROXY)", NO_PROXY),
    ),
    "407": Fault(
        "proxy",
        proxy_says("407 Proxy Authentication Required"),
        (
            "The proxy http://PROXY asks for a login (HTTP 407) before it connects to gateway.invalid",
            "Put the credentials into HTTPS_PROXY",
            NO_PROXY,
        ),
        True,
    ),
    "403": Fault(
        "proxy",
        proxy_says("403 Forbidden"),
        ("The proxy http://PROXY refuses to connect to gateway.invalid (HTTP 403)", "Have gateway.invalid allowed"),
        True,
    ),
    "302": Fault("proxy", proxy_says("302 To a login"), ("refuses to connect to gateway.invalid (HTTP 302)",), True),
    "502": Fault(
        "proxy",
        proxy_says("502 Bad Gateway"),
        ("The proxy http://PROXY did not connect to gateway.invalid (HTTP 502)", "This may pass."),
    ),
    "no connection in time": Fault(
        "timeout",
        lambda net: f"https://{net.serves(hangs)}/v1",
        ("No connection to HOST could be made within 1 s", "the firewall", ONLY_PROXY),
    ),
    "no answer in time": Fault(
        "timeout",
        lambda net: f"http://{net.serves(hangs)}/v1",
        ("http://HOST/v1 did not answer within 1 s", "A slow gateway needs a larger timeout in its extra."),
        is_sent=True,
    ),
    "closed at once": Fault(
        "closed",
        lambda net: f"https://{net.serves(hangs_up)}/v1",
        ("The new connection to HOST was closed before it could be used",),
    ),
    "closed in the answer": Fault(
        "closed",
        lambda net: f"http://{net.serves(says(GIVEN_BACK))}/v1",
        ("http://HOST/v1 closed the connection, or sent something that is not HTTP,",),
        is_sent=True,
    ),
    "not HTTP": Fault(
        "closed",
        lambda net: f"http://{net.serves(says(ANSWER.encode() + bytes(2)))}/v1",
        ("http://HOST/v1 closed the connection, or sent something that is not HTTP,",),
        is_sent=True,
    ),
}

every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)

#: What was sent and came back, and what is true if nothing was sent.
NOT_SENT = "The call was not sent, so it changed nothing: batches go on as they were."


def without_ports(said: str) -> str:
    said = re.sub(r"(proxy https?://)127\.0\.0\.1:\d+", r"\1PROXY", said)
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", said)


def make(hook: KimiHook, call: str) -> object:
    if call == "achat":
        return asyncio.run(hook.achat({"model": "kimi-k2.6", "messages": []}, TIMEOUT))
    return asyncio.run(call_async(hook, call)) if call in ASYNC_CALLS else CALLS[call](hook)


@every_fault
def test_the_connection_test_says_what_is_in_the_way_and_what_to_set(net: Network, fault: Fault) -> None:
    works, sentence = connect_to(net.monkeypatch, fault.make(net), timeout=TIMEOUT).test_connection()
    assert not works
    for words in fault.words:  # which Airflow's own id of a tested connection would only obscure
        assert words.replace("connection 'kimi_default'", "this connection") in without_ports(sentence)


@every_fault
@pytest.mark.parametrize("call", ["create_batch", "aget_batch", "achat", "upload_file", "download_file"])
def test_each_call_says_the_same_and_whether_it_was_sent(net: Network, fault: Fault, call: str) -> None:
    hook = connect_to(net.monkeypatch, fault.make(net), timeout=TIMEOUT)
    with pytest.raises(KimiNoAnswerError) as caught:
        make(hook, call)
    error = caught.value
    assert (error.kind, error.retryable, error.outcome_unknown) == (fault.kind, not fault.lasts, fault.is_sent)
    said = without_ports(str(error))
    assert (NOT_SENT in said) is not fault.is_sent
    for words in fault.words:
        assert words in said


@every_fault
@pytest.mark.parametrize("call", ["list_models", "alist_batches"])
def test_the_cause_is_logged_without_a_secret(net: Network, fault: Fault, call: str) -> None:
    hook = connect_to(net.monkeypatch, fault.make(net), timeout=TIMEOUT)
    with pytest.raises(KimiNoAnswerError) as caught:
        make(hook, call)
    assert caught.value.__cause__ is not None
    log = "".join(traceback.format_exception(caught.value))
    assert "The above exception was the direct cause of the following exception" in log
    for secret in (KEY, PASSWORD, "somebody", ANSWER):
        assert secret not in log


def test_the_cause_of_an_untrusted_certificate_is_that_of_openssl(net: Network) -> None:
    with pytest.raises(KimiNoAnswerError) as caught:
        connect_to(net.monkeypatch, self_signed(net)).list_models()
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_a_certificate_that_ssl_cert_file_names_is_trusted(net: Network) -> None:
    path = certificate(net.folder)
    net.sets("SSL_CERT_FILE", path)
    address = net.serves(over_tls(path, says(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":[]}')))
    works, sentence = connect_to(net.monkeypatch, f"https://{address}/v1").test_connection()
    assert works, sentence


@pytest.mark.parametrize("call", ["create_batch", "achat"])
def test_a_call_that_is_sent_while_an_unreachable_host_is_handled_is_not_taken_for_unsent(
    net: Network, call: str
) -> None:
    """Python chains the fault that is handled to the one that comes then."""
    try:
        connect_to(net.monkeypatch, "https://gateway.invalid/v1", timeout=TIMEOUT).list_models()
    except KimiNoAnswerError:
        hook = connect_to(net.monkeypatch, f"http://{net.serves(says(b''))}/v1", timeout=TIMEOUT)
        with pytest.raises(KimiNoAnswerError) as caught:
            make(hook, call)
    assert caught.value.outcome_unknown
    assert caught.value.kind == "closed"


# The page of the docs

DOCS = Path(__file__).parents[2] / "docs" / "when-it-does-not-work.md"

#: Not there, since they are rare.
NOT_IN_DOCS = {"of another host", "old TLS", "302"}


def as_in_docs(said: str) -> str:
    """Put in the names in capitals."""
    said = re.sub(r"proxy https?://\S+\d", "proxy PROXY", said)
    said = re.sub(r"127\.0\.0\.1:\d+|localhost:\d+|gateway\.invalid|gateway\.\.com", "HOST", said)
    said = re.sub(r"(within) 1 s", lambda found: f"within {'10' if 'No connection' in said else '120'} s", said)
    return said.replace("http://HOST", "https://HOST").replace("'kimi_default'", "'CONNECTION'")


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - NOT_IN_DOCS))
def test_the_docs_have_each_message_as_it_is(net: Network, name: str) -> None:
    works, said = connect_to(net.monkeypatch, FAULTS[name].make(net), timeout=TIMEOUT).test_connection()
    assert not works
    page = " ".join(DOCS.read_text(encoding="utf-8").split())
    what = as_in_docs(said).split(" while listing models. ")[0]
    assert f"`{what.replace(' through the proxy PROXY could', ' could')}`" in page
    if name == "self-signed":
        assert as_in_docs(said) in page


# Clients that cannot be built


@dataclass(frozen=True)
class Unusable:
    """A variable of which no client can be made."""

    variable: str
    value: str
    words: tuple[str, ...]


PROXY_VARIABLE = ("a variable for proxies cannot be read (HTTPS_PROXY)", "Write a proxy as http://user:password@host")
NOT_THERE = "names (/nowhere/ca) cannot be used (No such file or directory)"
UNUSABLE = {
    "a CA file that is not there": Unusable("SSL_CERT_FILE", "/nowhere/ca", (f"what SSL_CERT_FILE {NOT_THERE}",)),
    "a CA file that is a directory": Unusable("SSL_CERT_FILE", "/", ("SSL_CERT_FILE names (/) cannot be used (Is a",)),
    "a CA file that is no PEM": Unusable("SSL_CERT_FILE", __file__, ("(it holds no certificate in PEM)",)),
    "a CA directory that is not there": Unusable("SSL_CERT_DIR", "/nowhere/ca", (f"what SSL_CERT_DIR {NOT_THERE}",)),
    "no port": Unusable("HTTPS_PROXY", f"http://somebody:{PASSWORD}@proxy.invalid:port", PROXY_VARIABLE),
    "a slash in the password": Unusable("HTTPS_PROXY", f"http://somebody:{PASSWORD}/x@proxy:3128", PROXY_VARIABLE),
    "an unknown scheme": Unusable("HTTPS_PROXY", f"socks4://somebody:{PASSWORD}@proxy:1080", PROXY_VARIABLE),
    "an address without its end": Unusable("HTTPS_PROXY", "http://[::1:3128", PROXY_VARIABLE),
    "an invalid proxy for http": Unusable("HTTP_PROXY", "http://proxy:port", ("cannot be read (HTTP_PROXY)",)),
}


def check_unusable(net: Network, call: str, words: tuple[str, ...]) -> None:
    with pytest.raises(KimiConnectionConfigError) as caught:
        make(connect_to(net.monkeypatch, "https://gateway.invalid/v1"), call)
    said = str(caught.value)
    assert said.startswith("No HTTP client for https://gateway.invalid/v1 can be built: ")
    assert "Nothing was sent; batches go on as they were." in said
    assert said.endswith("in the environment of Airflow's workers and triggerers.")
    for part in words:
        assert part in said
    log = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in log
    assert "somebody" not in log
    assert not caught.value.retryable


@pytest.mark.parametrize("call", ["list_models", "aget_batch", "download_file"])
@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_cannot_be_built_is_a_fault_in_words(net: Network, unusable: Unusable, call: str) -> None:
    net.sets(unusable.variable, unusable.value)
    check_unusable(net, call, unusable.words)


@pytest.mark.parametrize("name", ["a CA file that is not there", "a CA file that is no PEM", "no port"])
def test_the_docs_have_the_messages_of_unusable_clients_as_they_are(net: Network, name: str) -> None:
    unusable = UNUSABLE[name]
    net.sets(unusable.variable, unusable.value)
    said = connect_to(net.monkeypatch, "https://gateway.invalid/v1").test_connection()[1]
    first = said.split(" Nothing was sent;")[0].replace("gateway.invalid", "HOST").replace(unusable.value, "PATH")
    assert f"{first}\n" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("call", ["list_models", "aget_batch"])
def test_a_socks_proxy_without_its_package_is_a_fault_in_words(net: Network, call: str) -> None:
    net.monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    net.sets("ALL_PROXY", f"socks5://somebody:{PASSWORD}@proxy:1080")
    check_unusable(net, call, ("a SOCKS proxy is set, and the Python package socksio is not installed",))


@pytest.mark.parametrize("entry", ["::1", "[::1]", "[::1]:80", "fd00::/8", "host:port"])
@pytest.mark.parametrize("call", ["list_models", "aget_batch"])
def test_an_odd_entry_of_no_proxy_is_passed_over_or_a_fault_in_words(net: Network, entry: str, call: str) -> None:
    """The HTTP client of openai 2 refuses most of them."""
    net.sets("NO_PROXY", f"localhost,{entry}")
    with pytest.raises((KimiNoAnswerError, KimiConnectionConfigError)) as caught:
        make(connect_to(net.monkeypatch, "https://gateway.invalid/v1"), call)
    if isinstance(caught.value, KimiConnectionConfigError):
        check_unusable(net, call, ("a variable for proxies cannot be read (NO_PROXY)", "only with openai 3 or newer"))
    else:
        assert "does not resolve" in str(caught.value)


def test_a_key_log_that_cannot_be_written_is_named(net: Network) -> None:
    net.sets("SSL_CERT_FILE", certificate(net.folder))
    net.sets("SSLKEYLOGFILE", "/nowhere/ca")
    check_unusable(net, "list_models", (f"what SSLKEYLOGFILE {NOT_THERE}",))


def test_a_ca_directory_counts_only_where_it_is_used(net: Network) -> None:
    net.sets("SSL_CERT_DIR", "/nowhere/ca")
    address = net.serves(says(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":[]}'))
    assert connect_to(net.monkeypatch, f"http://{address}/v1").list_models() == []
    net.sets("SSL_CERT_DIR", f"/nowhere/ca:{net.folder}")
    with pytest.raises(KimiNoAnswerError):
        connect_to(net.monkeypatch, "https://gateway.invalid/v1").list_models()
