"""Why a call got no answer: at which step it failed, at whom, and what to set. Read from the chain of exceptions."""

import errno
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiNoAnswerError, NoAnswerKind

#: Longest wait for a connection; a host that is up answers in milliseconds.
CONNECT_TIMEOUT_SECONDS = 10.0

#: Errors of the HTTP client that come before anything of a request was sent to the host, httpx and httpx2 alike.
_BEFORE_SENDING = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"})

#: What is true if a call was never sent.
_NOT_SENT = "The call was not sent, so it changed nothing: batches go on as they were."

_NETWORK = "Check the network, and the Base URL of connection {conn_id!r}, if this lasts."
_PROXY_ONLY = "If only a proxy leads there, set HTTPS_PROXY in the environment of Airflow's workers and triggerers."
_OTHER_PROXY = (
    "Correct HTTPS_PROXY (or ALL_PROXY) in the environment of Airflow's workers and triggerers, or list {hostname} in "
    "NO_PROXY if no proxy is needed."
)
_LOGIN = (
    "Put the credentials into HTTPS_PROXY (or ALL_PROXY), http://user:password@host:port with special characters "
    "percent-encoded, in the environment of Airflow's workers and triggerers, or list {hostname} in NO_PROXY if no "
    "proxy is needed."
)
_HOST = "Check the Base URL of connection {conn_id!r}, {what} of the machine that calls. " + _PROXY_ONLY

#: OpenSSL's numbers for a certificate that is not valid yet, or no longer: its owner renews it.
_OUT_OF_DATE = frozenset({9, 10})

#: The same for one that is valid for other names or addresses.
_OF_ANOTHER_HOST = frozenset({62, 64})

#: What OpenSSL says if the other side speaks no TLS, or other versions of it.
_OTHER_PROTOCOL = frozenset(
    {"WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "PACKET_LENGTH_TOO_LONG"}
)

#: Refusals of a proxy that pass, beside its 5xx.
_PASSING_REFUSALS = frozenset({408, 425, 429})

#: How the HTTP client says that a SOCKS proxy does not take a login, or takes none.
_SOCKS_LOGIN = ("Invalid username", "Requested ")

#: What keeps a connection from being made.
_NO_CONNECTION = {
    errno.ECONNREFUSED: "refuses the connection",
    errno.EHOSTUNREACH: "cannot be reached (no route to it)",
    errno.ENETUNREACH: "cannot be reached (the network has no route to it)",
}


class _Way(NamedTuple):
    """The way that calls take.

    :param proxy: Address of the proxy, without credentials; empty if there is none.
    """

    settings: ConnectionSettings
    proxy: str
    seconds: float

    @property
    def host(self) -> str:
        return urlsplit(self.settings.base_url).netloc

    @property
    def through(self) -> str:
        return f"{self.host} through the proxy {self.proxy}" if self.proxy else self.host

    @property
    def first(self) -> str:
        """Who is connected to first."""
        return f"The proxy {self.proxy}" if self.proxy else self.host

    def say(self, remedy: str, what: str = "") -> str:
        hostname = urlsplit(self.settings.base_url).hostname
        return remedy.format(conn_id=self.settings.conn_id, hostname=hostname, what=what)


class _Reason(NamedTuple):
    """Why there is no answer.

    :param what: A sentence without its end.
    :param lasts: Whether time alone does not heal it.
    """

    kind: NoAnswerKind
    what: str
    remedy: str
    lasts: bool = False


def no_answer(
    chain: Sequence[BaseException],
    settings: ConnectionSettings,
    proxy: str,
    action: str,
    unanswered: str,
    seconds: float,
) -> KimiNoAnswerError:
    """Say why a call got no answer.

    :param chain: What the SDK or its HTTP client raised; see `chain_of`.
    :param proxy: Address of the proxy on the way, without credentials; empty if there is none.
    :param action: What the call does, as in "reading batch 'batch_1'".
    :param unanswered: What is true if it was sent.
    :param seconds: How long it could take.
    """
    names = {type(one).__name__ for one in chain}
    reason = _reason(chain, names, _Way(settings, proxy, seconds))
    is_sent = names.isdisjoint(_BEFORE_SENDING)
    return KimiNoAnswerError(
        f"{reason.what} while {action}. {unanswered if is_sent else _NOT_SENT} {reason.remedy}",
        kind=reason.kind,
        retryable=not reason.lasts,
        outcome_unknown=is_sent,
    )


def safe_cause(chain: Sequence[BaseException]) -> BaseException:
    """The innermost cause, to be chained: with its text if that is the machine's own, which holds no secret.

    The text of any other may repeat a header, an answer, or a proxy's password.
    """
    cause = chain[-1]
    if isinstance(cause, (OSError, ImportError)):
        return cause
    return type(cause).__new__(type(cause)).with_traceback(cause.__traceback__)


def unusable_client(
    error: Exception, settings: ConnectionSettings, environment: Mapping[str, str]
) -> KimiConnectionConfigError | None:
    """Say why no HTTP client can be built from the environment of this process; None if that is not the reason."""
    if isinstance(error, ImportError) and "socks" in str(error).lower():
        what = "a SOCKS proxy is set, and the Python package socksio is not installed"
        remedy = "Install socksio, or set an http proxy in HTTPS_PROXY (or ALL_PROXY)"
    elif isinstance(error, OSError):
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            return None
        what, remedy = _unreadable(error, environment)
    elif isinstance(error, ValueError) or type(error).__name__ == "InvalidURL":
        names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
        found = [name for name in names if environment.get(name) or environment.get(name.lower())]
        if not found:
            return KimiConnectionConfigError.of(
                settings.conn_id,
                f"has a Base URL that is not a URL: {settings.base_url!r}",
                "Write it as https://name/v1, the name in its own letters.",
            )
        what = f"a variable for proxies cannot be read ({' or '.join(found)})"
        remedy = (
            "Write a proxy as http://user:password@host:port, with special characters of the password "
            "percent-encoded, and list IPv6 addresses in NO_PROXY only with openai 3 or newer"
        )
    else:
        return None
    return KimiConnectionConfigError(
        f"No HTTP client for {settings.base_url} can be built: {what}. Nothing was sent; batches go on as they were. "
        f"{remedy}, in the environment of Airflow's workers and triggerers."
    )


def _unreadable(error: OSError, environment: Mapping[str, str]) -> tuple[str, str]:
    named = (name for name in ("SSL_CERT_DIR", "SSLKEYLOGFILE") if environment.get(name) == error.filename)
    variable = "SSL_CERT_FILE" if error.filename is None else next(named, "SSL_CERT_FILE")
    why = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
    what = f"what {variable} names ({environment.get(variable)}) cannot be used ({why})"
    return what, f"Let {variable} name what is there on every machine, or unset it"


def chain_of(error: BaseException, handled: BaseException | None = None) -> list[BaseException]:
    """An error, what it was raised from, and so on.

    The HTTP client's pool hides what its errors were raised from. Any other context may be of another call.

    :param handled: What the caller was handling when it called, which is of another call too.
    """
    chain = [error]
    while True:
        last = chain[-1]
        hidden = last.__context__ if last.__suppress_context__ else None
        cause = last.exceptions[-1] if isinstance(last, BaseExceptionGroup) else last.__cause__ or hidden
        if not isinstance(cause, Exception) or cause in (*chain, handled):
            return chain
        chain.append(cause)


def _reason(chain: Sequence[BaseException], names: set[str], way: _Way) -> _Reason:
    if "ProxyError" in names:
        return _refused_by_proxy(next(str(one) for one in chain if type(one).__name__ == "ProxyError"), way)
    if any(name.endswith(("Timeout", "TimeoutError")) for name in names):
        return _too_late(names, way)
    cause = chain[-1]
    if "gaierror" in names or (isinstance(cause, UnicodeError) and not isinstance(cause, UnicodeDecodeError)):
        return _unresolved(way)
    if "ConnectError" in names:
        return _unconnected(cause, way)
    what = f"{way.settings.base_url} closed the connection, or sent something that is not HTTP,"
    return _Reason("closed", what, way.say(_NETWORK))


def _refused_by_proxy(answer: str, way: _Way) -> _Reason:
    """A proxy's answer to CONNECT begins with an HTTP status; of a SOCKS proxy there are words of the HTTP client."""
    status = int(answer[:3]) if answer[:3].isdecimal() else None
    said = f" (HTTP {status})" if status else ""
    if status == 407 or answer.startswith(_SOCKS_LOGIN):
        what = f"The proxy {way.proxy} asks for a login{said} before it connects to {way.host},"
        return _Reason("proxy", what, way.say(_LOGIN), lasts=True)
    if status is not None and status < 500 and status not in _PASSING_REFUSALS:
        what = f"The proxy {way.proxy} refuses to connect to {way.host}{said}"
        remedy = "Have {hostname} allowed there, or list it in NO_PROXY if no proxy is needed."
        return _Reason("proxy", what, way.say(remedy), lasts=True)
    what = f"The proxy {way.proxy} did not connect to {way.host}{said}"
    return _Reason("proxy", what, way.say("This may pass. " + _OTHER_PROXY))


def _too_late(names: set[str], way: _Way) -> _Reason:
    if "PoolTimeout" in names:
        what = f"No connection to {way.through} was free within {way.seconds:g} s"
        return _Reason("timeout", what, "Other calls of this process hold them, which passes.")
    if not names.isdisjoint(_BEFORE_SENDING):
        what = f"No connection to {way.through} could be made within {min(way.seconds, CONNECT_TIMEOUT_SECONDS):g} s"
        remedy = _OTHER_PROXY if way.proxy else _HOST
        return _Reason("timeout", what, way.say(remedy, "and the firewall"))
    what = f"{way.settings.base_url} did not answer within {way.seconds:g} s"
    return _Reason("timeout", what, way.say(_NETWORK + " A slow gateway needs a larger timeout in its extra."))


def _unresolved(way: _Way) -> _Reason:
    if way.proxy:
        what = f"The name of the proxy {way.proxy} does not resolve to an address"
        return _Reason("name", what, way.say(_OTHER_PROXY))
    what = f"The name {way.host} does not resolve to an address"
    return _Reason("name", what, way.say(_HOST, "and the DNS"))


def _unconnected(cause: BaseException, way: _Way) -> _Reason:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _distrusted(cause, way)
    if isinstance(cause, ssl.SSLError) and cause.reason in _OTHER_PROTOCOL:
        remedy = "Something there speaks no TLS, or another version: check scheme and port of the Base URL of "
        remedy += "connection {conn_id!r}."
        if way.proxy.startswith("https:"):
            remedy += " HTTPS_PROXY asks for TLS to the proxy itself: most proxies are written http://, for https too."
        what = f"No TLS connection to {way.through} could be made ({cause.reason.replace('_', ' ').lower()})"
        return _Reason("tls", what, way.say(remedy), lasts=True)
    found = _NO_CONNECTION.get((cause.errno if isinstance(cause, OSError) else None) or 0)
    if found and not isinstance(cause, ssl.SSLError):
        remedy = _OTHER_PROXY if way.proxy else _HOST
        return _Reason("refused", f"{way.first} {found}", way.say(remedy, "with its port, and the firewall"))
    return _Reason(
        "closed", f"The new connection to {way.through} was closed before it could be used", way.say(_NETWORK)
    )


def _distrusted(cause: ssl.SSLCertVerificationError, way: _Way) -> _Reason:
    why = cause.verify_message.rstrip(".")
    what = f"The certificate of {way.through} is not trusted ({why})"
    if cause.verify_code in _OUT_OF_DATE:
        remedy = "Whoever runs the host, or a proxy in between, has to renew it. Check the clock of this machine too."
        return _Reason("certificate", what, remedy)
    if cause.verify_code in _OF_ANOTHER_HOST:
        remedy = "Check the Base URL of connection {conn_id!r}, and whether a proxy in between answers in its place."
        return _Reason("certificate", what, way.say(remedy), lasts=True)
    remedy = (
        "If a gateway or proxy of your own shows it, put the file of its CA certificate (PEM) into SSL_CERT_FILE, "
        "together with the public ones if they are needed, or a directory of them into SSL_CERT_DIR, in the "
        "environment of Airflow's workers and triggerers."
    )
    return _Reason("certificate", what, remedy, lasts=True)
