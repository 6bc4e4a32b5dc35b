"""Servers of the batch format that others wrote, as `make test-peers` installs them."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".venv-peers"

#: ogx loads its providers while it starts.
START_SECONDS = 90


@dataclass(frozen=True)
class Peer:
    """A server, and what it makes of a row.

    :param model: The model that a connection to it names.
    :param answer: What a row with this text gets: its status and content.
    """

    name: str
    version: str
    model: str
    answer: Callable[[str], tuple[str, str | None]]


def _always(text: str) -> tuple[str, str | None]:
    return "succeeded", "Mock batch completion"


def _echo(text: str) -> tuple[str, str | None]:
    """The answer is the request, which is not an answer."""
    return "failed", None


def _by_text(text: str) -> tuple[str, str | None]:
    known = {"liked": "positive", "hated": "negative"}
    return next((("succeeded", label) for word, label in known.items() if word in text), ("failed", None))


PEERS = {
    peer.name: peer
    for peer in (
        Peer("aimock", "1.43.0", "kimi-k2.6", _always),
        Peer("aibrix", "0.8.0", "kimi-k2.6", _echo),
        Peer("ogx", "1.5.0", "openai/kimi-k2.6", _by_text),
    )
}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _running(folder: Path, command: list[str], path: str, port: int, **env: str) -> Iterator[str]:
    """Run a server until the block ends; its Base URL, once a path answers."""
    folder.mkdir()
    log = folder / "server.log"
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=folder, stdout=written, stderr=written, env=_environment() | env)
    try:
        base_url = f"http://127.0.0.1:{port}/v1"
        _wait_for(base_url + path, process, log)
        yield base_url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """The environment without Airflow's variables and the tests' single certificate."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SSL_CERT", "COV"))}


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(URLError, OSError), urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"The server does not answer. Its log ends:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def aimock(folder: Path) -> Iterator[str]:
    """Run @copilotkit/aimock."""
    port, program = free_port(), INSTALLED / "aimock/node_modules/@copilotkit/aimock/dist/cli.js"
    command = ["node", str(program), "--port", str(port), "--fixtures", str(HERE / "answers.json")]
    with _running(folder, command, "/models", port) as base_url:
        yield base_url


@contextmanager
def aibrix(folder: Path) -> Iterator[str]:
    """Run the metadata service of aibrix, which answers a request with itself."""
    port, program = free_port(), INSTALLED / "aibrix/bin/aibrix_metadata"
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--dry-run"]
    with _running(folder, command, "/models", port) as base_url:
        yield base_url


@contextmanager
def ogx(folder: Path) -> Iterator[str]:
    """Run ogx, with aimock as the model."""
    port, program = free_port(), INSTALLED / "ogx/bin/ogx"
    command = [str(program), "run", str(HERE / "ogx.yaml"), "--insecure", "--port", str(port)]
    model = aimock(folder.with_name(f"{folder.name}-model"))
    with model as url, _running(folder, command, "/models", port, MODEL_URL=url, HOME=str(folder)) as base_url:
        yield base_url


START = {"aimock": aimock, "aibrix": aibrix, "ogx": ogx}
