"""What no submit can be faster than: each step that it needs, alone, on the same file.

Run as `python -m tests.benchmarks.submit_bounds READY_FILE BASE_URL`; the last line that it prints is the seconds of
each step.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

import msgspec

CHUNK_BYTES = 1 << 20


def seconds(step: Callable[[], object]) -> float:
    """Time one step."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def copy(path: Path) -> None:
    """Read the file and write it elsewhere, in large pieces."""
    with NamedTemporaryFile(prefix="kimi-bench-") as target, path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            target.write(chunk)


def sha256(path: Path) -> None:
    """Hash the file."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)


def decode(path: Path) -> None:
    """Read each request."""
    with path.open("rb") as source:
        for line in source:
            msgspec.json.decode(line)


def encode_seconds(path: Path) -> float:
    """Time the encoding of all requests, a thousand at a time; reading them is outside the clock."""
    total = 0.0
    with path.open("rb") as source:
        while lines := source.readlines(2_000_000):
            requests = [msgspec.json.decode(line) for line in lines]
            total += seconds(lambda requests=requests: [msgspec.json.encode(request) for request in requests])  # type: ignore[misc]
    return total


def upload_by_curl(path: Path, base_url: str) -> None:
    """Upload by curl, the start of its process included."""
    form = ["-F", "purpose=batch", "-F", f"file=@{path};type=application/jsonl"]
    subprocess.run(
        ["curl", "--silent", "--fail", "--noproxy", "*", *form, f"{base_url}/v1/files"],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def upload_by_http_client(path: Path, base_url: str) -> None:
    """Upload by the standard library, in large pieces."""
    connection = HTTPConnection(urlsplit(base_url).netloc, blocksize=CHUNK_BYTES)
    with path.open("rb") as content:
        connection.request("POST", "/v1/files", content, {"Content-Length": str(path.stat().st_size)})
        assert connection.getresponse().status == 200
    connection.close()


def upload_by_sdk(path: Path, base_url: str) -> None:
    """Upload by the SDK as its documentation shows it, from an open file."""
    from openai import OpenAI

    client = OpenAI(api_key="sk-bench", base_url=f"{base_url}/v1", max_retries=0)
    with path.open("rb") as content:
        client.files.create(file=("input.jsonl", content, "application/jsonl"), purpose="batch")


def main(file: str, base_url: str) -> None:
    """Measure every step and print it."""
    path = Path(file)
    upload_by_sdk(Path(__file__), base_url)
    found = {
        "read and write the file": seconds(lambda: copy(path)),
        "sha256": seconds(lambda: sha256(path)),
        "msgspec decode of each line": seconds(lambda: decode(path)),
        "msgspec encode of each request": encode_seconds(path),
        "upload by http.client, 1 MiB pieces": seconds(lambda: upload_by_http_client(path, base_url)),
        "upload by the openai SDK, open file": seconds(lambda: upload_by_sdk(path, base_url)),
    }
    if shutil.which("curl"):
        found["upload by curl, its start included"] = seconds(lambda: upload_by_curl(path, base_url))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
