"""The files of a cache: their names, which say all that is counted, and their lines, which prove themselves."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from airflow_provider_kimi.cache.digests import DIGEST_BYTES

#: What is in a file: answers, or how many answers a run took.
Kind = Literal["answers", "hits"]

_ENDINGS: dict[Kind, str] = {"answers": "jsonl", "hits": "json"}
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(
    r"(?P<kind>answers(?=.*l$)|hits(?=.*n$))-(?P<time>[0-9]{8}T[0-9]{6}Z)-(?P<count>0|[1-9][0-9]{0,11})"
    r"-(?P<writer>[0-9a-f]{16})\.jsonl?"
)

#: A file that is not whole yet, or whose writer was killed.
_STAGED = re.compile(r"\.kimi-cache-(?P<time>[0-9]{8}T[0-9]{6}Z)-[0-9a-f]+")

_CHECK_BYTES = 8
_BEFORE, _BETWEEN, _BEFORE_ANSWER, _AFTER = b'{"d":"', b'","c":"', b'","a":', b"}"
_DIGEST = slice(len(_BEFORE), len(_BEFORE) + 2 * DIGEST_BYTES)
_CHECK = slice(_DIGEST.stop + len(_BETWEEN), _DIGEST.stop + len(_BETWEEN) + 2 * _CHECK_BYTES)
_ANSWER = slice(_CHECK.stop + len(_BEFORE_ANSWER), -len(_AFTER))


class SegmentName(NamedTuple):
    """The name of a file of a cache. In order of time, the oldest first.

    :param time: When it was written, in UTC.
    :param number: Of its answers, or of the rows that a run did not send.
    :param writer: Who wrote it, as a digest.
    """

    time: datetime
    number: int
    writer: str
    kind: Kind = "answers"

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Read a name; None for a file that is not of a cache."""
        found = _NAME.fullmatch(name)
        time = _time_in(found)
        if found is None or time is None:
            return None
        return cls(time, int(found["count"]), found["writer"], "hits" if found["kind"] == "hits" else "answers")

    def __str__(self) -> str:
        return f"{self.kind}-{self.time.strftime(_TIME)}-{self.number}-{self.writer}.{_ENDINGS[self.kind]}"


def staged_name(time: datetime, token: str) -> str:
    """Name a file that is being written since then."""
    return f".kimi-cache-{time.strftime(_TIME)}-{token}"


def staged_since(name: str) -> datetime | None:
    """Read since when a file is being written; None for one that is whole, and for any other."""
    return _time_in(_STAGED.fullmatch(name))


def _time_in(found: re.Match[str] | None) -> datetime | None:
    try:
        return datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC) if found else None
    except ValueError:  # no such day
        return None


def writer_digest(name: str) -> str:
    """What stands for a writer in the names of its files."""
    return hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).hexdigest()


def line_of(digest: bytes, answer: bytes) -> bytes:
    """Write an answer as a line; a newline in it can only be space between its tokens."""
    answer = answer.replace(b"\n", b" ")
    return b"".join((_begin(digest, answer), answer, _AFTER, b"\n"))


def digest_in(line: bytes) -> bytes | None:
    """Read whose answer a line holds, without its newline; None if it is damaged there."""
    try:
        digest = bytes.fromhex(line[_DIGEST].decode())
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_BYTES else None


def answer_in(line: bytes, digest: bytes) -> bytes | None:
    """Read the answer of a line; None if anything of the line is not as it was written."""
    answer = line[_ANSWER]
    is_whole = line.startswith(_begin(digest, answer)) and line.endswith(_AFTER)
    return answer if is_whole else None


def _begin(digest: bytes, answer: bytes) -> bytes:
    check = hashlib.blake2b(digest, digest_size=_CHECK_BYTES)
    check.update(answer)
    return b"".join((_BEFORE, digest.hex().encode(), _BETWEEN, check.hexdigest().encode(), _BEFORE_ANSWER))
