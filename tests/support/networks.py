"""Networks that are in the way: servers and proxies of a test, each with one fault, and certificates."""

import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.raw_server import listening

#: What nobody may read in a log.
PASSWORD, ANSWER = "p4ssw0rd", "an answer that somebody paid for"

#: Variables of a process that lead its requests elsewhere.
VARIABLES = [
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"),
]

Handle = Callable[[socket.socket], None]


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def certificate(folder: Path, *, name: str = "127.0.0.1", days: int = 30) -> Path:
    """A certificate that nobody has signed, with its key, for an address or a name.

    :param days: For how long it is valid; below zero, since when it is not.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    owner = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    is_address = name[0].isdigit()
    host = x509.IPAddress(ipaddress.ip_address(name)) if is_address else x509.DNSName(name)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(key, hashes.SHA256())
    )
    no_password = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    path = folder / f"{name}{days}.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def says(answer: bytes) -> Handle:
    """Answer whatever is asked."""

    def handle(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(answer)

    return handle


def over_tls(path: Path, handle: Handle) -> Handle:
    """Speak TLS with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            handle(tls)

    return secured


def hangs(connection: socket.socket) -> None:
    """Take what comes, and say nothing."""
    connection.recv(1 << 16)
    sleep(3)


def hangs_up(connection: socket.socket) -> None:
    """Close the connection with a reset, once the other side begins."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def connects_to(handle: Handle) -> Handle:
    """A proxy that lets a server answer in place of the one that is asked for."""

    def handle_proxied(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        handle(connection)

    return handle_proxied


@dataclass(frozen=True)
class Network:
    """Where a test puts a fault."""

    monkeypatch: pytest.MonkeyPatch
    folder: Path
    stack: ExitStack

    def serves(self, handle: Handle) -> str:
        """Serve, and return the address."""
        return f"127.0.0.1:{self.stack.enter_context(listening(handle))}"

    def sets(self, variable: str, value: str | Path) -> None:
        """Set a variable of the process."""
        self.monkeypatch.setenv(variable, str(value))

    def proxied(self, address: str, scheme: str = "http") -> str:
        """Let https go through a proxy; return the address of a platform that only a proxy finds."""
        self.sets("HTTPS_PROXY", f"{scheme}://somebody:{PASSWORD}@{address}")
        return "https://gateway.invalid/v1"


def self_signed(net: Network) -> str:
    """A platform whose certificate nobody has signed; its Base URL."""
    return f"https://{net.serves(over_tls(certificate(net.folder), says(b'')))}/v1"


def expired(net: Network) -> str:
    """A platform whose certificate has expired; its Base URL."""
    path = certificate(net.folder, days=-1)
    net.sets("SSL_CERT_FILE", path)
    return f"https://{net.serves(over_tls(path, says(b'')))}/v1"


def proxy_says(status: str) -> Callable[[Network], str]:
    """A proxy that answers so to who wants to be connected; the Base URL of what is behind it."""
    return lambda net: net.proxied(net.serves(says(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())))


@contextmanager
def network(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Network]:
    """A process without proxies and certificates of its own."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with ExitStack() as stack:
        yield Network(monkeypatch, folder, stack)
