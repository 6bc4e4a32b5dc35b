"""A process that works with a cache while others do, or that dies while it writes: `python -m tests.cache.busy`."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from io import RawIOBase
from typing import Any

from airflow_provider_kimi.cache.directory import CacheDirectory
from airflow_provider_kimi.cache.segments import SegmentName, line_of
from airflow_provider_kimi.cache.store import AnswerCache

ROUNDS, ANSWERS = 5, 200


def digests_of(name: str) -> Iterator[bytes]:
    for number in range(ANSWERS):
        yield blake2b(f"{name} {number}".encode(), digest_size=16).digest()


def answer_to(digest: bytes) -> bytes:
    """What the platform answers to a request; so each answer can be checked."""
    return b'{"of":"%s"}' % (digest.hex().encode() * 20)


def work(place: str, name: str) -> None:
    """Write, write again, read and purge, and check all that is found."""
    for number in range(ROUNDS):
        cache = AnswerCache(place)
        for _ in range(2):
            with cache.writer(f"{name} {number}") as kept:
                for digest in digests_of(f"{name} {number}"):
                    kept.add(digest, answer_to(digest))
            cache.note_hits(f"{name} {number}", 1)
        own = set(digests_of(f"{name} {number}"))
        for digest, answer in cache.find(lambda digest: True):
            assert answer == answer_to(digest)
            own.discard(digest)
        assert not own, "what this process has kept is found"
        assert not cache.damaged
        cache.purge(timedelta(days=1))


class Dying(RawIOBase):
    """The content of a file, in the middle of which the process is killed."""

    def __init__(self, before: int) -> None:
        self._left = before

    def read(self, size: int = -1) -> Any:
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return line_of(bytes(16), b'"x"') * 10_000


def die(place: str, before: int) -> None:
    now = datetime.now(UTC)
    CacheDirectory(place).put(str(SegmentName(now, 10_000, "0" * 16)), Dying(before), now)  # type: ignore[arg-type]


if __name__ == "__main__":
    if sys.argv[2] == "die":
        die(sys.argv[1], int(sys.argv[3]))
    work(sys.argv[1], sys.argv[2])
