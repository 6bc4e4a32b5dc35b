"""A file that comes in pieces is the platform's byte for byte, or is not landed; messages say how far it came."""

import gzip
import io
import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airflow_provider_kimi.calls.fetch import Fetched, fetch_file
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.exceptions import KimiNoAnswerError, KimiResultError
from airflow_provider_kimi.hooks.arrived import Arrived
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.requests.spool import Slice
from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.conftest import Connect
from tests.support.landing import land
from tests.support.logs import LogRecord
from tests.support.raw_server import Pieces, connect_to, headers_of, raw_server, reply
from tests.support.requests import submit_prompts

ROOT = Path(__file__).parents[2]


def lines(count: int, filler: str = "x") -> bytes:
    return b"".join(
        json.dumps({"custom_id": f"row-{number}", "filler": filler * 40}).encode() + b"\n" for number in range(count)
    )


CONTENT = lines(20)
NEWLINE = b"\n"


@dataclass
class Host:
    """Serves one file, and cuts each answer after so many bytes, or after a share of what it was to send.

    :param contents: The file as each request finds it; the last one stays.
    :param lie: Changes the headers and the body of an answer with a part.
    """

    contents: list[bytes]
    cut: int | float = 0.6
    has_ranges: bool = True
    version: Callable[[bytes], str] | None = None
    says_length: bool = True
    encoding: str = ""
    lie: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]] | None = None
    status_of_parts: str = "206 Partial Content"
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, request: bytes) -> Pieces:
        asked = headers_of(request)
        self.asked.append(asked)
        content = self.contents.pop(0) if len(self.contents) > 1 else self.contents[0]
        headers, status, body = {}, "200 OK", content
        if self.version is not None:
            headers["ETag"] = self.version(content)
        begin = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        if self.has_ranges and begin and asked.get("if-range", headers.get("ETag", "")) == headers.get("ETag", ""):
            status, body = self.status_of_parts, content[int(begin[1]) :]
            headers["Content-Range"] = f"bytes {begin[1]}-{len(content) - 1}/{len(content)}"
            if self.lie is not None:
                headers, body = self.lie(headers, body)
        if self.encoding and "gzip" in asked.get("accept-encoding", ""):
            headers["Content-Encoding"], body = "gzip", gzip.compress(body)
        return self.sent(status, headers, body)

    def sent(self, status: str, headers: dict[str, str], body: bytes) -> Iterator[bytes]:
        if self.says_length:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Transfer-Encoding"] = "chunked"
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        yield f"HTTP/1.1 {status}\r\n{fields}\r\n".encode()
        most = self.cut if isinstance(self.cut, int) else max(int(len(body) * self.cut), 1)
        part = body[:most]
        yield part if self.says_length else b"%x\r\n%s\r\n" % (len(part), part)
        if len(part) < len(body):
            raise OSError("cut")  # which closes the connection
        if not self.says_length:
            yield b"0\r\n\r\n"

    @property
    def ranges(self) -> list[str | None]:
        return [asked.get("range") for asked in self.asked]


@dataclass
class Fetching:
    """Downloads of a host's file."""

    monkeypatch: pytest.MonkeyPatch
    path: Path
    log: LogRecord = field(default_factory=LogRecord)
    pauses: list[float] = field(default_factory=list)

    def fetch(self, host: Host, expected_lines: int = 20, cuts: int | None = None) -> Fetched:
        """Fetch a file.

        :param cuts: How many answers are cut; None for all.
        """

        def answer(request: bytes) -> Pieces:
            host.cut = host.cut if cuts is None or len(host.asked) < cuts else 1.0
            return host(request)

        with raw_server(answer) as server:
            calls = Calls(connect_to(self.monkeypatch, server.base_url, timeout=5), self.log, self.pauses.append)
            return fetch_file(calls, "file_1", self.path, expected_lines=expected_lines, names_requests=True)

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def fetching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fetching:
    return Fetching(monkeypatch, tmp_path / "file")


def tag(content: bytes) -> str:
    return f'"{hash(content)}"'


@pytest.mark.parametrize("version", [None, tag, lambda content: f"W/{tag(content)}"], ids=["none", "strong", "weak"])
def test_a_file_that_is_always_cut_arrives_where_parts_of_it_can_be_asked_for(
    fetching: Fetching, version: Callable[[bytes], str] | None
) -> None:
    host = Host([CONTENT], version=version)
    assert fetching.fetch(host) == Fetched(fetching.path, 20)
    assert fetching.content == CONTENT
    assert len(host.asked) > 6, "more often than a file that gets no further"
    assert set(fetching.pauses) == {2.0}
    first = int(len(CONTENT) * 0.6)
    assert host.ranges[:2] == [None, f"bytes={CONTENT.rindex(NEWLINE, 0, first) + 1}-"], "with the line that was cut"
    assert f"{first:,} of {len(CONTENT):,} bytes have come. Downloading the rest in 2 s." in fetching.log.warnings[0]
    strong = version is tag
    assert host.asked[1].get("if-range") == (tag(CONTENT) if strong else None)
    assert host.asked[1]["accept-encoding"] == "identity"


def test_a_file_of_many_small_pieces_arrives(fetching: Fetching) -> None:
    fetching.fetch(Host([CONTENT], cut=50))
    assert fetching.content == CONTENT


def test_a_file_that_is_always_cut_fails_after_six_downloads_where_it_starts_over_each_time(fetching: Fetching) -> None:
    host = Host([CONTENT], has_ranges=False)
    with pytest.raises(KimiResultError) as caught:
        fetching.fetch(host)
    assert len(host.asked) == 6
    assert "in 6 attempts. The last one: http" in str(caught.value)
    assert f" {int(len(CONTENT) * 0.6):,} of {len(CONTENT):,} bytes have come. Nothing was landed" in str(caught.value)


def test_a_file_without_ranges_arrives_once_it_is_not_cut(fetching: Fetching) -> None:
    fetching.fetch(Host([CONTENT], has_ranges=False), cuts=3)
    assert fetching.content == CONTENT


GROWN = lines(30)
CHANGED = lines(20, filler="y")


@pytest.mark.parametrize("version", [None, tag], ids=["none", "strong"])
def test_a_file_that_grows_between_two_pieces_is_fetched_anew(
    fetching: Fetching, version: Callable[[bytes], str] | None
) -> None:
    """The output of a batch that has just ended is still being written."""
    fetching.fetch(Host([CONTENT, CONTENT, GROWN], version=version), expected_lines=30)
    assert fetching.content == GROWN


def test_a_file_that_changes_between_two_pieces_is_fetched_anew(fetching: Fetching) -> None:
    fetching.fetch(Host([CONTENT, CHANGED], version=tag))
    assert fetching.content == CHANGED


def test_a_part_of_another_version_is_not_joined_though_the_server_sends_it(fetching: Fetching) -> None:
    """It does not know If-Range."""

    def weak(content: bytes) -> str:
        return f"W/{tag(content)}"

    fetching.fetch(Host([CONTENT, CHANGED], version=weak))
    assert fetching.content == CHANGED


def labels(order: Iterable[int]) -> bytes:
    """Lines of one length, each of which says in its end what it says in its beginning."""
    return b"".join(b'{"custom_id": "row-%02d", "label": "%s%02d"}\n' % (row, b"x" * 40, row) for row in order)


@pytest.mark.parametrize("cut", [500, 505, 0.5], ids=["behind an id", "elsewhere in a line", "between two lines"])
@pytest.mark.parametrize("version", [None, lambda content: '"same"'], ids=["none", "a lie"])
def test_a_file_that_is_written_in_another_order_each_time_gives_no_row_the_answer_of_another(
    fetching: Fetching, cut: int | float, version: Callable[[bytes], str] | None
) -> None:
    """Both have the same length, and no header tells them apart."""
    host = Host([labels(range(20)), labels([*range(10, 20), *range(10)])], cut=cut, version=version)
    fetching.fetch(host, cuts=1)
    assert fetching.content == labels([*range(10, 20), *range(10)])
    assert len(host.asked) == 3
    assert re.search(r"came in pieces, and a (request is in it twice|line of it cannot)", fetching.log.warnings[-1])


def test_a_request_that_is_twice_in_each_version_is_taken_as_it_is(fetching: Fetching) -> None:
    content = labels([*range(19), 7])
    fetching.fetch(Host([content], cut=0.9))
    assert fetching.content == content


def test_a_file_that_shrinks_between_two_pieces_is_fetched_anew(fetching: Fetching) -> None:
    host = Host([CONTENT, lines(2)], cut=800)

    def refusing(request: bytes) -> Pieces:
        if b"range: bytes=800-" in request.lower():
            host.asked.append({})
            return [b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */152\r\ncontent-length: 0\r\n\r\n"]
        return host(request)

    with raw_server(refusing) as server:
        calls = Calls(connect_to(fetching.monkeypatch, server.base_url), fetching.log, fetching.pauses.append)
        fetch_file(calls, "file_1", fetching.path, expected_lines=2, names_requests=True)
    assert fetching.content == lines(2)


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "403 Forbidden", "416 Range Not Satisfiable", "500 Oh", "501 No Range"]
)
def test_a_server_that_refuses_parts_is_asked_for_the_whole_file_again(fetching: Fetching, status: str) -> None:
    host = Host([CONTENT], status_of_parts=status)
    fetching.fetch(host, cuts=1)
    assert fetching.content == CONTENT


def moved(by: int) -> Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]]:
    """Send bytes from elsewhere in the file, and say so."""

    def lie(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        begin = len(CONTENT) - len(body) + by
        return {**headers, "Content-Range": f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"}, CONTENT[begin:]

    return lie


def test_bytes_that_overlap_are_written_once(fetching: Fetching) -> None:
    host = Host([CONTENT], cut=700, lie=moved(-100))
    fetching.fetch(host)
    assert fetching.content == CONTENT


def says(
    content_range: str | None, body: bytes | None = None, **more: str
) -> Callable[..., tuple[dict[str, str], bytes]]:
    """Send a part with these headers, and perhaps with another body."""

    def lie(headers: dict[str, str], content: bytes) -> tuple[dict[str, str], bytes]:
        changed = {**headers, **{name.replace("_", "-"): value for name, value in more.items()}}
        changed.pop("Content-Range")
        return changed | ({"Content-Range": content_range} if content_range else {}), content if body is None else body

    return lie


PAGE = b"<html>Please sign in</html>"
BEGIN, END = int(len(CONTENT) * 0.6), len(CONTENT) - 1
FITS = f"bytes {BEGIN}-{END}/{len(CONTENT)}"

LIES = {
    "a gap": moved(+100),
    "no range": says(None),
    "no total": says(f"bytes {BEGIN}-{END}/*"),
    "another total": says(f"bytes {BEGIN}-{END}/{len(CONTENT) + 5}"),
    "an end beyond it": says(f"bytes {BEGIN}-{END + 5}/{len(CONTENT)}"),
    "another unit": says("rows 3-20/20"),
    "numbers without end": says(f"bytes {BEGIN}-{END}/{'9' * 5000}"),
    "a page": says(None, PAGE, Content_Type="text/html"),
    "a page that says it fits": says(FITS, PAGE, Content_Type="text/html; charset=utf-8"),
    "more than there is": says(FITS, CONTENT),
    "packed": says(FITS, gzip.compress(CONTENT), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_part_that_does_not_fit_is_never_joined(
    fetching: Fetching, lie: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]]
) -> None:
    host = Host([CONTENT], lie=lie)
    fetching.fetch(host, cuts=1)
    assert fetching.content == CONTENT
    assert len(host.asked) == 3, "the beginning, a part that is dropped, and the whole file"


def test_a_server_may_call_a_whole_file_a_part(fetching: Fetching) -> None:
    whole = {"Content-Range": f"bytes 0-{END}/{len(CONTENT)}"}

    class Parts(Host):
        def sent(self, status: str, headers: dict[str, str], body: bytes) -> Iterator[bytes]:
            return super().sent("206 Partial Content", whole | headers, body)

    fetching.fetch(Parts([CONTENT]))
    assert fetching.content == CONTENT


def test_a_page_in_the_middle_of_good_lines_is_fetched_anew(fetching: Fetching) -> None:
    """It fits by its numbers, and even by its length."""
    last = CONTENT.splitlines(keepends=True)[-1]
    host = Host([CONTENT], lie=says(FITS, PAGE.ljust(END - BEGIN - len(last)) + b"\n" + last))

    fetching.fetch(host, expected_lines=13, cuts=1)
    assert fetching.content == CONTENT
    assert any("came in pieces, and a line of it cannot be read" in line for line in fetching.log.warnings)


def test_a_packed_file_that_is_cut_is_asked_for_as_it_is_stored(fetching: Fetching) -> None:
    host = Host([lines(2000)], encoding="gzip")
    fetching.fetch(host, expected_lines=2000)
    assert fetching.content == lines(2000)
    assert host.ranges[:2] == [None, None]
    assert host.ranges[2]


def test_a_packed_file_of_a_server_that_packs_always_is_never_joined(fetching: Fetching) -> None:
    class Packing(Host):
        def sent(self, status: str, headers: dict[str, str], body: bytes) -> Iterator[bytes]:
            return super().sent(status, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body))

    host = Packing([lines(2000)])
    with pytest.raises(KimiResultError, match="could not be downloaded whole in 6 attempts"):
        fetching.fetch(host, expected_lines=2000)
    assert set(host.ranges) == {None}


def test_a_file_of_unknown_length_goes_on_too(fetching: Fetching) -> None:
    host = Host([CONTENT], says_length=False)
    fetching.fetch(host)
    assert fetching.content == CONTENT
    assert f"{int(len(CONTENT) * 0.6):,} bytes have come." in fetching.log.warnings[0]


def test_the_size_of_a_file_of_unknown_length_comes_from_the_list_of_files(fetching: Fetching) -> None:
    host = Host([CONTENT], says_length=False, has_ranges=False)

    def answer(request: bytes) -> Pieces:
        if b"/content" in request:
            return host(request)
        return [reply(b'{"data": [{"id": "file_1", "bytes": %d, "filename": "a"}]}' % len(CONTENT))]

    with raw_server(answer) as server:
        calls = Calls(connect_to(fetching.monkeypatch, server.base_url), fetching.log, fetching.pauses.append)
        with pytest.raises(KimiResultError) as caught:
            fetch_file(calls, "file_1", fetching.path, expected_lines=20)
    listed = f"The account's list of files says that it has {len(CONTENT):,} bytes."
    assert f"{BEGIN:,} bytes have come. {listed} Nothing was landed" in str(caught.value)


def test_the_docs_show_the_messages_as_they_are(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    page = " ".join((ROOT / "docs" / "when-it-does-not-work.md").read_text(encoding="utf-8").replace("> ", "").split())
    arrived = Arrived()
    arrived.begin(200, {"content-length": "1000"})
    arrived.size = 600
    said = arrived.in_words()
    assert f"{said} Downloading the rest in 2 s." in page
    with pytest.raises(KimiNoAnswerError) as misfit:
        arrived.begin(206, {"content-range": "bytes 700-999/1200"})
    assert str(misfit.value) in page
    with pytest.raises(KimiResultError) as caught:
        fetching.fetch(Host([CONTENT], has_ranges=False))
    _, lost = str(caught.value).split("bytes have come. ")
    assert f"{said} {lost}" in page


# One call of the hook


def test_a_call_goes_on_where_the_one_before_broke_off(monkeypatch: pytest.MonkeyPatch) -> None:
    host, target, arrived = Host([CONTENT], cut=1000), io.BytesIO(), Arrived()
    with raw_server(host) as server:
        hook = connect_to(monkeypatch, server.base_url)
        with pytest.raises(KimiNoAnswerError, match=r"1,000 of 1,\d+ bytes have come\.$"):
            hook.download_file("file_1", target, arrived)
        assert hook.download_file("file_1", target, arrived) == len(CONTENT)
    assert target.getvalue() == CONTENT
    assert host.ranges == [None, f"bytes={CONTENT.rindex(NEWLINE, 0, 1000) + 1}-"]


def test_a_call_alone_asks_for_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    host, target = Host([CONTENT], cut=1000), io.BytesIO()
    with raw_server(host) as server:
        hook = connect_to(monkeypatch, server.base_url)
        with pytest.raises(KimiNoAnswerError, match=r"1,000 of 1,\d+ bytes have come\.$"):
            hook.download_file("file_1", target)
    assert "range" not in host.asked[0]


def test_an_upload_that_breaks_off_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server takes connections, and never reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hook = connect_to(monkeypatch, f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout=0.5)
        with pytest.raises(KimiNoAnswerError) as caught:
            hook.upload_file(io.BytesIO(bytes(30_000_000)), "a.jsonl")
    said = re.search(r" ([\d,]+) of 30,000,000 bytes were sent\.$", str(caught.value))
    assert said is not None
    assert 0 < int(said[1].replace(",", "")) < 30_000_000


def test_an_upload_of_a_shard_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shard is a part of a larger file on this machine."""
    (tmp_path / "rows").write_bytes(lines(30))
    first = len(lines(10))
    shard = Slice(tmp_path / "rows", first, first + 500, 5)
    with raw_server(lambda request: [2.0]) as server, shard.open() as content:
        hook = connect_to(monkeypatch, server.base_url, timeout=0.5)
        with pytest.raises(KimiNoAnswerError, match=r" 500 of 500 bytes were sent\.$"):
            hook.upload_file(content, "a.jsonl")


def test_an_upload_whose_answer_is_lost_says_that_all_was_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(CONTENT)
    with raw_server(lambda request: [2.0]) as server:
        hook = connect_to(monkeypatch, server.base_url, timeout=0.5)
        with pytest.raises(KimiNoAnswerError) as caught:
            hook.upload_file(tmp_path / "a.jsonl", "a.jsonl")
    assert str(caught.value).endswith(f"{len(CONTENT):,} of {len(CONTENT):,} bytes were sent.")


# The whole way, on the simulator


@pytest.mark.parametrize("ranges", [True, False])
def test_a_result_whose_files_are_always_cut_lands_where_parts_can_be_asked_for(
    connect: Connect, tmp_path: Path, ranges: bool
) -> None:
    with KimiSimulator(speed=0, behaviour=Behaviour(ranges=ranges)) as sim:
        hook: KimiHook = connect(sim)
        submission = submit_prompts(hook, 10)
        sim.advance(60)
        output = hook.get_batch(submission.batch_ids[0]).output_file_id
        assert output is not None
        sim.inject("download_file", cut_after_bytes=1500, times=None)
        if not ranges:
            with pytest.raises(KimiResultError, match=r"1,500 of \d,\d+ bytes have come\. Nothing was landed"):
                land(hook, tmp_path, submission.batch_ids)
            return
        landed = land(hook, tmp_path, submission.batch_ids)
        assert landed.statuses == {"succeeded": 10}
        assert landed.collected.is_whole
        assert (tmp_path / "output.jsonl").read_bytes() == sim.file_content(output)
