"""The cache: answers by what was asked, in files that runs at the same time can read, write and purge."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import msgspec

from airflow_provider_kimi.cache.directory import CacheDirectory
from airflow_provider_kimi.cache.segments import (
    Kind,
    SegmentName,
    answer_in,
    digest_in,
    line_of,
    staged_since,
    writer_digest,
)
from airflow_provider_kimi.files.lines import CHUNK_BYTES, lines_of

#: No file is being written for this long; one that still is not whole was left by a writer that was killed.
_WRITING = timedelta(days=1)


class Found(NamedTuple):
    """An answer that the cache holds.

    :param digest: Of the request.
    :param answer: As it was added.
    """

    digest: bytes
    answer: bytes


class CacheCounts(NamedTuple):
    """What a cache holds.

    :param entries: Answers. One request may have several; the newest counts.
    :param bytes: Of its files.
    :param hits: Rows that were not sent since its oldest note of them.
    """

    entries: int
    bytes: int
    hits: int


class AnswerWriter:
    """Takes the answers of one file."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self.count = 0

    def add(self, digest: bytes, answer: bytes) -> None:
        """Add an answer, as JSON."""
        self._spool.write(line_of(digest, answer))
        self.count += 1


class AnswerCache:
    """The answers that are kept in a directory.

    :param uri: URI of the directory, on any storage of Airflow; it is created if it does not exist.
    :param max_age: Older answers are not found. None for any age.
    :raises KimiInputError: The directory cannot be used, and a retry would not help.
    """

    def __init__(self, uri: str, max_age: timedelta | None = None) -> None:
        self._directory = CacheDirectory(uri)
        self._max_age = max_age
        #: Lines of what `find` has read that are not as they were written, and are passed over.
        self.damaged = 0

    def find(self, is_wanted: Callable[[bytes], bool]) -> Iterator[Found]:
        """Yield the answers to some requests, the newest first, then older ones of the same request too.

        What is removed meanwhile is passed over, and what is added meanwhile may be.

        :param is_wanted: Whether a digest is wanted. It is asked again for each answer, so that it may change its mind.
        :raises KimiInputError: The directory cannot be read, and a retry would not help.
        """
        read: set[SegmentName] = set()
        while waiting := [segment for segment in self._young_enough() if segment not in read]:
            is_one_gone = False
            with closing(self._directory.contents(map(str, waiting))) as contents:
                for blocks in contents:
                    try:
                        yield from self._answers(blocks, is_wanted)
                    except FileNotFoundError:
                        is_one_gone = True
            read.update(waiting)
            if not is_one_gone:  # else its writer may have put another one into its place
                return

    def _young_enough(self) -> list[SegmentName]:
        since = None if self._max_age is None else _now() - self._max_age
        found = (segment for segment in self._segments() if segment.kind == "answers")
        return sorted((segment for segment in found if since is None or segment.time >= since), reverse=True)

    def _segments(self) -> dict[SegmentName, int]:
        """The whole files of the cache, and their bytes."""
        sizes = self._directory.sizes()
        return {segment: size for name, size in sizes.items() if (segment := SegmentName.of(name)) is not None}

    def _answers(self, blocks: Iterator[bytes], is_wanted: Callable[[bytes], bool]) -> Iterator[Found]:
        for block in blocks:
            for line in lines_of(block):
                digest = digest_in(line)
                if digest is not None and not is_wanted(digest):
                    continue
                answer = None if digest is None else answer_in(line, digest)
                if digest is None or answer is None:
                    self.damaged += 1
                else:
                    yield Found(digest, answer)

    @contextmanager
    def writer(self, name: str) -> Iterator[AnswerWriter]:
        """Keep answers: all of them at the end of the block, or none if it fails.

        What the same writer has kept before is replaced, and stays as old as it is.

        :param name: What tells this writer from all others, and is the same if it does its work again.
        :raises KimiInputError: The directory cannot be written, and a retry would not help.
        """
        with TemporaryFile(buffering=CHUNK_BYTES) as spool:
            answers = AnswerWriter(spool)
            yield answers
            if answers.count:
                spool.seek(0)
                self._put("answers", answers.count, name, spool)

    def note_hits(self, name: str, hits: int) -> None:
        """Note how many rows a run did not send; noted again under the same name, they count once."""
        self._put("hits", hits, name, BytesIO(msgspec.json.encode({"hits": hits}) + b"\n"))

    def _put(self, kind: Kind, count: int, name: str, content: IO[bytes]) -> None:
        writer, now = writer_digest(name), _now()
        own = [segment for segment in self._segments() if (segment.kind, segment.writer) == (kind, writer)]
        segment = SegmentName(min([now, *(one.time for one in own)]), count, writer, kind)
        self._directory.put(str(segment), content, now)
        self._directory.remove(str(one) for one in own if one != segment)

    def count(self) -> CacheCounts:
        """Count what the cache holds; only the names of its files are read."""
        return _counts(self._segments())

    def purge(self, older_than: timedelta, *, dry_run: bool = False) -> tuple[CacheCounts, CacheCounts]:
        """Delete what was written longer ago.

        :param dry_run: Delete nothing, and return the same.
        :return: What is left, and what is removed.
        :raises KimiInputError: The directory cannot be changed, and a retry would not help.
        """
        now, found = _now(), self._directory.sizes()
        segments = {name: segment for name in found if (segment := SegmentName.of(name)) is not None}
        old = {name for name, segment in segments.items() if segment.time <= now - older_than}
        left_over = [name for name in found if (since := staged_since(name)) is not None and since <= now - _WRITING]
        if not dry_run:
            self._directory.remove([*old, *left_over])
        left = {segment: found[name] for name, segment in segments.items() if name not in old}
        removed = {segments[name]: found[name] for name in old}
        return _counts(left), _counts(removed)


def _counts(segments: dict[SegmentName, int]) -> CacheCounts:
    return CacheCounts(_sum("answers", segments), sum(segments.values()), _sum("hits", segments))


def _sum(kind: Kind, segments: Iterable[SegmentName]) -> int:
    return sum(segment.number for segment in segments if segment.kind == kind)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
