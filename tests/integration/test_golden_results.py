"""A golden set of result files: every shape that is known, and what each row and the whole come to.

`golden/shapes.*` hold one line of every shape, named by what is odd about it, and the status and the error code that it
must end in. The other files are made from plain lines, byte by byte.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_kimi.files.lines import MAX_LINE_BYTES
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.simulator import KimiSimulator, RowError
from tests.conftest import Connect
from tests.support.landing import Landed, land
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, request, spoiling, submit
from tests.support.samples import answer_body, output_line

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: dict[str, list[str | None]] = json.loads((GOLDEN / "shapes.expected.json").read_text())

#: Deeper than any reader of JSON goes.
DEEP = b"[" * 100_000 + b"]" * 100_000


@dataclass
class Platform:
    """A platform whose result files say what a test wants."""

    sim: KimiSimulator
    hook: KimiHook
    folder: Path

    def land(self, ids: Sequence[str], output: bytes, error: bytes | None = None) -> Landed:
        """Bring a batch of these requests to its end, replace its result files, and land it."""
        (batch_id,) = submit(self.hook, order([request(one) for one in ids]), ATTEMPT, LogRecord()).batch_ids
        self.sim.advance(60)
        batch = self.hook.get_batch(batch_id)
        assert batch.output_file_id
        self.sim.replace_content(batch.output_file_id, output)
        if error is not None:
            assert batch.error_file_id
            self.sim.replace_content(batch.error_file_id, error)
        return land(self.hook, self.folder, [batch_id])


@pytest.fixture
def platform(connect: Connect, tmp_path: Path) -> Iterator[Platform]:
    with KimiSimulator(speed=0, responder=spoiling({"z": RowError("server_error", "so that there is a file")})) as sim:
        yield Platform(sim, connect(sim), tmp_path)


def plain(custom_id: str, content: str = "positive") -> bytes:
    return output_line(custom_id, body=answer_body(content))


def statuses(landed: Landed) -> list[str]:
    return [row["status"] for row in landed.rows()]


@pytest.fixture
def landed(platform: Platform) -> Landed:
    output, error = ((GOLDEN / f"shapes.{kind}.jsonl").read_bytes() for kind in ("output", "error"))
    return platform.land([*EXPECTED, "z"], output, error)


def test_every_known_shape_of_line_has_its_status_and_its_code(landed: Landed) -> None:
    found = {row["custom_id"]: [row["status"], row["error_code"]] for row in landed.rows()}
    assert found == {**EXPECTED, "z": ["missing", "batch_completed"]}
    assert [row["custom_id"] for row in landed.rows()] == [*EXPECTED, "z"]


def test_every_known_shape_of_line_is_counted_once(landed: Landed) -> None:
    expected = Counter(["missing", *(status for status, _ in EXPECTED.values())])
    counts = dict(landed.manifest["counts"])
    assert counts.pop("total") == len(EXPECTED) + 1
    assert counts == {status: expected[status] for status in ROW_STATUSES}


def test_every_known_shape_of_line_without_an_answer_is_counted_by_its_code(landed: Landed) -> None:
    ids: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in landed.rows():
        if row["status"] != "succeeded":
            is_odd_end = row["error_code"] == "finish_reason"
            ids[row["status"], row["finish_reason"] if is_odd_end else row["error_code"]].append(row["custom_id"])
    *named, rest = landed.manifest["failures"]
    found = {(one["status"], one["reason"]): (one["count"], one["sample"]) for one in named}
    assert len(found) == 10
    assert found == {pair: (len(ids[pair]), ids[pair][:3]) for pair in found}
    left = sum(len(of_pair) for pair, of_pair in ids.items() if pair not in found)
    assert rest == {"status": "mixed", "reason": "further_reasons", "count": left, "sample": []}


def test_no_text_of_the_platform_gets_into_the_manifest(platform: Platform) -> None:
    said = ["sk-0123456789abcdef", "Is this review positive? 很好", "3f9c1b7a5d2e4f60", "model_not_found"]
    errors = [{"code": code, "type": code, "message": f"{code} is refused"} for code in said]
    lines = [output_line(str(number), error=error) for number, error in enumerate(errors)]
    failures = platform.land([*map(str, range(4)), "z"], b"\n".join(lines), b"").manifest["failures"]
    assert [(one["reason"], one["count"]) for one in failures] == [
        ("other", 3),
        ("model_not_found", 1),
        ("batch_completed", 1),
    ]


def test_every_known_shape_of_line_is_landed_byte_for_byte(landed: Landed) -> None:
    for kind in ("output", "error"):
        assert (landed.folder / f"{kind}.jsonl").read_bytes() == (GOLDEN / f"shapes.{kind}.jsonl").read_bytes()


def test_the_tokens_of_every_known_shape_of_line_are_counted_once(landed: Landed) -> None:
    rows = landed.rows()
    for key in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        assert landed.manifest["usage"][key] == sum(row[key] or 0 for row in rows) > 0
    assert landed.manifest["usage"]["reasoning_tokens"] == 3
    assert landed.by_id["ok-usage-details"]["cached_tokens"] == landed.by_id["ok-200"]["cached_tokens"] == 8


def test_every_known_shape_of_line_without_an_answer_is_a_dead_letter(landed: Landed) -> None:
    unusable = [name for name, (status, _) in EXPECTED.items() if status != "succeeded"]
    assert [letter["custom_id"] for letter in landed.rows("dead_letter.jsonl")] == [*unusable, "z"]


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(b"\n".join([plain("a"), plain("b")]) + b"\n", id="last line with newline"),
        pytest.param(b"\n".join([plain("a"), plain("b")]), id="last line without newline"),
        pytest.param(b"\r\n".join([plain("a"), plain("b")]) + b"\r\n", id="CRLF"),
        pytest.param(b"\r\n".join([plain("a"), plain("b")]), id="CRLF, last line without"),
        pytest.param(b"\xef\xbb\xbf" + b"\n".join([plain("a"), plain("b")]) + b"\n", id="byte order mark"),
        pytest.param(b"\n\n" + plain("a") + b"\n \n\t\r\n" + plain("b") + b"\n\n", id="blank lines"),
        pytest.param(plain("b") + b"\n" + plain("a") + b"\n", id="shuffled"),
    ],
)
def test_a_file_with_any_line_ends_has_all_its_rows(platform: Platform, output: bytes) -> None:
    landed = platform.land(["a", "b", "z"], output, b"")
    assert statuses(landed) == ["succeeded", "succeeded", "missing"]
    assert (landed.folder / "output.jsonl").read_bytes() == output + (b"" if output.endswith(b"\n") else b"\n")
    assert not (landed.folder / "error.jsonl").exists(), "an empty error file is none"
    assert landed.manifest["error_file"] is None
    assert not [line for line in landed.log.warnings if "set aside" in line]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([plain("a"), plain("a", "negative")], "1 repeated", id="the same id twice"),
        pytest.param([plain("a", ""), plain("a")], "1 repeated", id="an empty answer in front"),
        pytest.param([output_line("a", error="it broke"), plain("a")], "1 repeated", id="an error in front"),
        pytest.param(
            [plain("a"), output_line("foreign", error="it broke")], "1 foreign", id="an error of a foreign id"
        ),
        pytest.param([plain("a"), b"<html>504</html>"], "1 unreadable", id="no JSON"),
        pytest.param([plain("a"), b"[1,2]"], "1 unreadable", id="a list"),
        pytest.param([plain("a"), b'{"custom_id":7}'], "1 unreadable", id="an id that is no text"),
        pytest.param([plain("a"), plain("a")[:-9]], "1 unreadable", id="a broken copy behind"),
        pytest.param([plain("a")[:-9], plain("a")], "1 unreadable", id="a broken copy in front"),
        pytest.param([DEEP, plain("a")], "1 unreadable", id="nested too deeply"),
    ],
)
def test_lines_that_belong_to_no_row_are_set_aside_with_a_warning(
    platform: Platform, lines: list[bytes], message: str
) -> None:
    landed = platform.land(["a", "z"], b"\n".join(lines) + b"\n", b"")
    assert [(row["status"], row["content"]) for row in landed.rows()] == [
        ("succeeded", "positive"),
        ("missing", None),
    ]
    assert any(f"hold {message} lines that are set aside" in line for line in landed.log.warnings)


def test_an_answer_to_an_unknown_request_is_landed_behind_the_others_because_it_is_paid(platform: Platform) -> None:
    landed = platform.land(["a", "z"], plain("foreign") + b"\n" + plain("a"), b"")
    assert [(row["custom_id"], row["status"]) for row in landed.rows()] == [
        ("a", "succeeded"),
        ("z", "missing"),
        ("foreign", "succeeded"),
    ]
    assert "hold 1 answers to requests that its input file does not name" in " ".join(landed.log.warnings)
    assert not landed.collected.is_whole


def test_an_answer_counts_before_an_error_of_the_same_id(platform: Platform) -> None:
    error = output_line("a", response=None, error={"code": "c", "message": "m"})
    landed = platform.land(["a", "z"], plain("a"), error)
    assert statuses(landed) == ["succeeded", "missing"]
    assert any("hold 1 repeated lines" in line for line in landed.log.warnings)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(plain("a")[:-9], id="cut"),
        pytest.param(b'{"custom_id":"a","x":' + DEEP + b"}", id="nested too deeply"),
        pytest.param(b'{"custom_id":"a","x":}', id="no JSON"),
    ],
)
def test_a_line_of_which_only_the_id_can_be_read_is_a_failed_row(platform: Platform, broken: bytes) -> None:
    landed = platform.land(["a", "b", "z"], plain("b") + b"\n" + broken, b"")
    assert statuses(landed) == ["failed", "succeeded", "missing"]
    assert landed.by_id["a"]["error_code"] == "unreadable_line"
    assert (landed.folder / "output.jsonl").read_bytes().endswith(broken + b"\n"), "the line is kept"


def test_a_line_of_50_mb_is_read(platform: Platform) -> None:
    landed = platform.land(["a", "b", "z"], plain("a", "x" * 50_000_000) + b"\n" + plain("b"), b"")
    assert statuses(landed) == ["succeeded", "succeeded", "missing"]
    assert len(landed.by_id["a"]["content"]) == 50_000_000


def test_a_line_longer_than_the_limit_is_a_failed_row(platform: Platform) -> None:
    landed = platform.land(["a", "b", "z"], plain("a", "x" * MAX_LINE_BYTES) + b"\n" + plain("b"), b"")
    assert statuses(landed) == ["failed", "succeeded", "missing"]
    assert landed.by_id["a"]["error_code"] == "unreadable_line"
