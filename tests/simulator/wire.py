"""What the tests of the simulator say on the wire: request lines, raw calls, and refusals as values."""

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_kimi.simulator import KimiSimulator

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

KEY = "sk-simulator"
ENDPOINT: Final = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
#: Models that were usable once.
RETIRED = (
    *("kimi-k2.5", "moonshot-v1-8k", "moonshot-v1-32k", "moonshot-v1-128k", "moonshot-v1-auto"),
    *("moonshot-v1-8k-vision-preview", "kimi-k2-0711-preview", "kimi-k2-0905-preview", "kimi-k2-turbo-preview"),
    *("kimi-k2-thinking", "kimi-k2-thinking-turbo", "kimi-latest", "kimi-thinking-preview"),
)
#: A batch with the default timing has ended by then.
UNTIL_COMPLETED = 25


@dataclass(frozen=True)
class Reply:
    """One answer as it came over the wire; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, type and message of an error envelope that holds nothing else."""
        envelope = self.json()
        assert list(envelope) == ["error"]
        assert list(envelope["error"]) == ["type", "message"]
        return self.status, envelope["error"]["type"], envelope["error"]["message"]


def call(
    sim: KimiSimulator | str,
    method: str,
    path: str,
    fields: object = None,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one call to a simulator or base URL without any SDK, with the right key unless `headers` are given."""
    host = urlsplit(sim if isinstance(sim, str) else sim.base_url)
    connection = http.client.HTTPConnection(str(host.hostname), host.port, timeout=20)
    sent = json.dumps(fields).encode() if fields is not None else body
    try:
        connection.request(method, f"/v1{path}", sent, headers or {"Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def line(custom_id: object = "a", body: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """One valid request line; `body` is added to its body, `changes` replace its keys, None removes one."""
    request = {
        "custom_id": custom_id,
        "method": "POST",
        "url": ENDPOINT,
        "body": {"model": "kimi-k2.6", "messages": HELLO, **(body or {})},
        **changes,
    }
    return {key: value for key, value in request.items() if value is not None}


def lines(count: int, body: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Valid request lines `row-0`, `row-1`, ..."""
    return [line(f"row-{number}", body) for number in range(count)]


def jsonl(*rows: object) -> bytes:
    """An input file; bytes are taken as they are."""
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows)


def upload(client: "OpenAI", content: bytes | None = None, name: str = "in.jsonl", purpose: Any = "batch") -> str:
    """Store a file, and return its id."""
    return client.files.create(file=(name, jsonl(line()) if content is None else content), purpose=purpose).id


def create(client: "OpenAI", input_file_id: str, window: Any = "24h", **fields: Any) -> "Batch":
    """Create a batch of a stored file."""
    return client.batches.create(
        input_file_id=input_file_id, endpoint=ENDPOINT, completion_window=window, extra_body=fields
    )


def submit(client: "OpenAI", *rows: object, window: str = "24h") -> str:
    """Create a batch of these lines (one valid line by default), and return its id."""
    return create(client, upload(client, jsonl(*rows) if rows else None), window).id


def refused(act: Callable[[], object]) -> tuple[int, str | None, str]:
    """Status, type and message of the SDK's error."""
    import openai

    try:
        act()
    except openai.APIStatusError as error:
        envelope = error.body if isinstance(error.body, dict) else {}
        return error.status_code, envelope.get("type"), envelope.get("message", "")
    raise AssertionError("this call was not refused")


def rows_of(sim: KimiSimulator, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a result file; none for an absent one."""
    return [json.loads(row) for row in sim.file_content(file_id).splitlines()] if file_id else []


def finish(sim: KimiSimulator, client: "OpenAI", *rows: object) -> "Batch":
    """Create a batch, let the time of a whole run pass, and read it."""
    batch_id = submit(client, *rows)
    sim.advance(UNTIL_COMPLETED)
    return client.batches.retrieve(batch_id)
