"""Arrived: what has come of a file, so that a later call asks for the rest only. Nothing but the file's own is kept."""

import re
from collections.abc import Mapping
from io import SEEK_END, IOBase
from typing import IO

from airflow_provider_kimi.exceptions import KimiNoAnswerError

_PART = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Arrived:
    """What calls have brought of one file into one target.

    :ivar size: How many bytes have come.
    :ivar total: How many the file has; None where no answer says so.
    :ivar is_joined: Whether it came from more than one answer.
    """

    def __init__(self) -> None:
        self.size = 0
        self.total: int | None = None
        self.is_joined = False
        self._version: tuple[str, str] = ("", "")
        self._first = 0  # of the bytes that the last answer brought
        self._line = 0  # where the last line begins
        self._is_begun = False
        self._has_rest = False
        self._may_ask = True
        self._refusals = 0

    @property
    def asks_for_rest(self) -> bool:
        """Whether the next call asks for a part of the file."""
        return self._has_rest and self.size > 0

    @property
    def headers(self) -> dict[str, str]:
        """What the next call asks for, beside the file: after a call that broke off, bytes as they are stored."""
        headers = {"Accept-Encoding": "identity"} if self._is_begun else {}
        if self.asks_for_rest:
            etag, modified = self._version
            version = modified if etag.startswith("W/") else etag or modified
            headers |= {"Range": f"bytes={self._rest}-"} | ({"If-Range": version} if version else {})
        return headers

    @property
    def _rest(self) -> int:
        """Where the rest begins: with a line, since halves of two versions could make one that says what neither says.

        A line that is longer than what an answer brings goes on in its middle.
        """
        return self._line if self._line > self._first else self.size

    def begin(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Take the head of an answer; its body goes behind the first `size` bytes.

        :raises KimiNoAnswerError: It is not a part that fits what has come.
        """
        is_plain = headers.get("content-encoding", "identity").lower() == "identity"
        version = headers.get("etag", ""), headers.get("last-modified", "")
        if status_code == 206:
            self.size, self.total = self._fitting(headers, version, is_plain=is_plain)
        else:
            length = headers.get("content-length", "")
            self.size, self.total = 0, int(length) if is_plain and length.isdecimal() else None
        self._first = self.size
        self._line = min(self._line, self.size)
        self._version = version if any(version) or status_code != 206 else self._version
        self.is_joined, self._refusals = status_code == 206, 0
        self._is_begun, self._has_rest = True, is_plain and self._may_ask

    def _fitting(self, headers: Mapping[str, str], version: tuple[str, str], *, is_plain: bool) -> tuple[int, int]:
        """Where a part begins, and how long the file is."""
        said = headers.get("content-range", "")[:80]
        part = _PART.fullmatch(said)
        is_ours = is_plain and "html" not in headers.get("content-type", "")
        is_same = all(not (old and new) or old == new for old, new in zip(self._version, version, strict=True))
        if part and is_ours and is_same and part[3] != "*":
            first, last, total = int(part[1]), int(part[2]), int(part[3])
            if first <= self.size <= last < total and total == (self.total or total):
                return first, total
        self.forget()
        raise KimiNoAnswerError(
            f"A part of a file came that does not fit what had come before ({said or 'no Content-Range'}): the file "
            "has changed, or something in between answers for the platform. What had come is dropped."
        )

    def take(self, chunk: bytes) -> None:
        """Count what has come of the body."""
        if end := chunk.rfind(b"\n") + 1:
            self._line = self.size + end
        self.size += len(chunk)

    def end(self) -> None:
        """Check that all has come, where that is known.

        :raises KimiNoAnswerError: It has not, or more has.
        """
        if self.total is None or self.size == self.total:
            return
        words = self.in_words()
        if self.size > self.total:
            self.forget()
        raise KimiNoAnswerError(f"An answer with a file ended, and the file is not whole. {words}")

    def refuse(self, *, for_good: bool) -> None:
        """Take a refusal of the rest: after the second in a row, or one for good, the whole file is asked for.

        :param for_good: Whether to ask for no part of the file any more.
        """
        self._refusals += 1
        if for_good or self._refusals > 1:
            self._may_ask = self._may_ask and not for_good
            self.forget()

    def forget(self) -> None:
        """Begin again with the first byte."""
        self.size, self.total, self._version = 0, None, ("", "")
        self._has_rest, self._refusals = False, 0

    def in_words(self) -> str:
        """Say how much has come; nothing where there is nothing to say."""
        if not self.size and self.total is None:
            return ""
        return f"{self.size:,} {f'of {self.total:,} ' if self.total is not None else ''}bytes have come."


def sent_in_words(content: IOBase | IO[bytes]) -> str:
    """Say how much of a file was read to be sent."""
    return f"{content.tell():,} of {content.seek(0, SEEK_END):,} bytes were sent."
