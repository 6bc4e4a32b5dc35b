"""Answers that were paid, on this machine until the result is accepted; then the cache keeps them for later runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from tempfile import TemporaryFile
from weakref import finalize

import msgspec

from airflow_provider_kimi.cache.digests import DIGEST_BYTES, request_digest
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.requests.seen_ids import SeenIds

_SIZE_BYTES = 8


class _Request(msgspec.Struct):
    body: msgspec.Raw


class _Answer(msgspec.Struct):
    response: msgspec.Raw


_read_request = msgspec.json.Decoder(_Request).decode
_read_answer = msgspec.json.Decoder(_Answer).decode


class KeptAnswers:
    """Collects usable answers by what was asked for them.

    :param base_url: Of the platform.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._digests = SeenIds()
        self._file = TemporaryFile()  # noqa: SIM115 - gone with this object
        finalize(self, self._file.close)

    def add(self, request: bytes, line: bytes) -> None:
        """Keep an answer.

        :param request: The line that asked for it first; a later round may have asked in another way.
        :param line: The line that it came in.
        """
        with suppress(*UNREADABLE):
            body, answer = bytes(_read_request(request).body), bytes(_read_answer(line).response)
            digest = request_digest(body, base_url=self._base_url)
            self._file.write(digest + len(answer).to_bytes(_SIZE_BYTES, "big") + answer)
            self._digests.extend((digest.hex(),))

    @property
    def count(self) -> int:
        """How many requests have an answer."""
        return sum(1 for _ in self.each())

    def each(self) -> Iterator[tuple[bytes, bytes]]:
        """The digest of each request, with the first answer to it."""
        repeated, given = self._digests.repeated(), set[bytes]()
        self._file.seek(0)
        while digest := self._file.read(DIGEST_BYTES):
            answer = self._file.read(int.from_bytes(self._file.read(_SIZE_BYTES), "big"))
            if digest in given:
                continue
            if hash(digest.hex()) in repeated:
                given.add(digest)
            yield digest, answer
