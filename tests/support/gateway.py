"""A gateway before the simulator, which passes all calls on but lists in its own way."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode
from urllib.request import Request, urlopen

from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.raw_server import Pieces, headers_of, raw_server, reply

#: What a gateway answers instead of a page: a status, and a body.
Refusal = tuple[int, bytes]

HTML = b"<html><body>nginx</body></html>"


@dataclass
class Gateway:
    """The gateway; it can stand for the simulator where a connection is made.

    :param refused_limit: What it answers to a `limit` above 50; None if it takes any.
    :param no_list: What it answers to every list of batches; None if it has one.
    :param no_files: The same for the list of files.
    :param size: Rows of a page that it sends at most.
    :param has_pages: Whether `after` does anything.
    :param has_more: What its pages say; None for nothing at all, and `honest` for the truth.
    :param lists: The queries of the lists of batches that it was asked for.
    """

    sim: KimiSimulator
    refused_limit: Refusal | None = None
    no_list: Refusal | None = None
    no_files: Refusal | None = None
    size: int = 100
    has_pages: bool = True
    has_more: bool | str | None = "honest"
    lists: list[str] = field(default_factory=list)
    base_url: str = ""

    @property
    def api_key(self) -> str:
        """The key of the simulator."""
        return self.sim.api_key

    def answer(self, method: str, path: str, query: str, head: dict[str, str], body: bytes) -> Refusal:
        """Answer a call."""
        if method == "GET" and path == "/v1/files" and self.no_files:
            return self.no_files
        if method != "GET" or path != "/v1/batches":
            return self.passed_on(method, f"{path}?{query}", head, body)
        self.lists.append(query)
        if self.no_list:
            return self.no_list
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        limit = int(asked.get("limit", 20))
        if self.refused_limit and limit > 50:
            return self.refused_limit
        asked["limit"] = str(min(limit, self.size))
        if not self.has_pages:
            asked.pop("after", None)
        status, found = self.passed_on(method, f"{path}?{urlencode(asked)}", head, body)
        page = json.loads(found)
        if self.has_more != "honest":
            page.pop("has_more", None)
            page |= {} if self.has_more is None else {"has_more": self.has_more}
        return status, json.dumps(page).encode()

    def passed_on(self, method: str, target: str, head: dict[str, str], body: bytes) -> Refusal:
        """Let the simulator answer."""
        url = self.sim.base_url.removesuffix("/v1") + target
        try:
            with urlopen(Request(url, body or None, head, method=method)) as answered:
                return answered.status, answered.read()
        except HTTPError as refused:
            return refused.code, refused.read()


@contextmanager
def gateway(sim: KimiSimulator, **behaviour: object) -> Iterator[Gateway]:
    """Run a gateway on a free port."""
    own = Gateway(sim, **behaviour)  # type: ignore[arg-type]

    def answer(request: bytes) -> Pieces:
        method, target, _ = request.split(b"\r\n")[0].decode().split(" ")
        path, _, query = target.partition("?")
        head = {name: value for name, value in headers_of(request).items() if name in ("authorization", "content-type")}
        status, content = own.answer(method, path, query, head, request.partition(b"\r\n\r\n")[2])
        return [reply(content, f"{status} Gateway")]

    with raw_server(answer) as server:
        own.base_url = server.base_url
        yield own
