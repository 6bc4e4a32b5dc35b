"""Fetch a file whole: after a connection that ended early, paid rows would seem to be missing."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Calls, is_rate_limit
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiResultError
from airflow_provider_kimi.files.line_ids import id_of, is_whole, name_of_unreadable
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES, count_lines, lines_at, new_file
from airflow_provider_kimi.hooks.arrived import Arrived

#: Pauses between the downloads of a file that is not as the batch counts it: it may still be growing.
FILE_PAUSES_SECONDS = (2.0, 5.0, 10.0, 20.0, 30.0)

#: Most downloads of one file, though each brings more of it.
MOST_DOWNLOADS = 1000

#: Refusals that may pass by themselves: a copy of the platform's data that lags, or a key that is being replaced.
DOUBTED_STATUS_CODES = frozenset({401, 403, 404})

#: How long after the end of a batch its files may still come, or grow.
LATE_SECONDS = 3600.0


@dataclass(frozen=True)
class Fetched:
    """A file on this machine.

    :param lines: How many lines it has, without blank ones.
    :param is_whole: Whether it has all the lines that the batch counted.
    """

    path: Path
    lines: int
    is_whole: bool = True


def may_come_late(calls: Calls, batch: Batch) -> bool:
    """Whether a batch has ended so lately that its files may not all be there yet."""
    return calls.now() < (batch.ended_at or 0) + LATE_SECONDS


def fetch_file(
    calls: Calls,
    file_id: str,
    path: Path,
    *,
    expected_lines: int,
    pauses: Sequence[float] = FILE_PAUSES_SECONDS,
    doubted: Collection[int] = DOUBTED_STATUS_CODES,
    names_requests: bool = False,
) -> Fetched:
    """Download a JSONL file, and judge whether it is whole.

    A download that breaks off is repeated, from where it broke off if the platform allows that; one that has brought
    more than those before gets all pauses again. So is one that ends inside a line, has fewer lines than the batch
    counted, or is refused as if the file did not exist: a file may be there before all of it is. If the last download
    brings the same bytes again, the file is accepted with a warning, because the rows decide, not the counts. But a
    file of which no line names a request is not the platform's: it was cut to nothing, or is a proxy's page.

    :param expected_lines: Lines that the batch counted; 0 if it counted none.
    :param pauses: Seconds between the downloads.
    :param doubted: HTTP statuses that are not believed at once.
    :param names_requests: Whether each line names a request.
    :raises KimiResultError: It never came whole.
    :raises KimiError: The platform refuses the download.
    """
    seen = before = _Seen()
    wanted = _Wanted(file_id, expected_lines, names_requests)
    arrived, attempts = Arrived(), Attempts(pauses)
    new_file(path).close()
    while True:
        before = seen if seen.digest else before
        seen = _look(calls, wanted, path, arrived, before.digest, doubted if attempts.left else ())
        if not seen.fault:
            return Fetched(path, seen.lines)
        if (pause := attempts.pause_after(seen.size)) is None:
            break
        what = "the rest" if arrived.asks_for_rest else "it again"
        calls.log.warning("%s Downloading %s in %g s.", seen.fault, what, pause)
        calls.sleep(pause)
    if seen.digest and seen.digest == before.digest:
        calls.log.warning("%s The same bytes came again, so the file is accepted.", seen.fault)
        return Fetched(path, seen.lines, is_whole=False)
    size = "" if seen.digest or arrived.total is not None else _listed_size(calls, file_id)
    raise KimiResultError(
        f"File {file_id} could not be downloaded whole in {attempts.met} attempts. The last one: {seen.fault} {size}"
        "Nothing was landed and nothing is lost: the batch has ended, is billed as far as it ran, and its files stay "
        "on the platform. Clear this task to try again: nothing is paid again."
    )


class Attempts:
    """How often a file is downloaded: until the pauses are used up, all of them again after each that got further.

    Where it begins again with its first byte, all are those that are left by then.

    :ivar met: Downloads until now that did not bring what they should.
    :ivar left: Pauses before further ones.
    """

    def __init__(self, pauses: Sequence[float]) -> None:
        self._pauses = pauses
        self._farthest = 0
        self.left = list(pauses)
        self.met = 0

    def pause_after(self, size: int) -> float | None:
        """Return how long to pause after a download that came so far; None for the last one.

        :param size: Bytes that have come; 0 where that does not say how far it is.
        """
        self.met += 1
        if size > self._farthest > 0 and self.met < MOST_DOWNLOADS:
            self.left = list(self._pauses)
        self._farthest = max(self._farthest, size)
        pause = self.left.pop(0) if self.left else None
        if not size:
            self._farthest, self._pauses = 0, list(self.left)
        return pause


def _listed_size(calls: Calls, file_id: str) -> str:
    """Say how large the account's list of files shows a file; nothing if it does not."""
    with suppress(KimiError):
        for file in calls.hook.list_files():
            if file.id == file_id:
                return f"The account's list of files says that it has {file.bytes:,} bytes. "
    return ""


class _Seen(NamedTuple):
    """What one download has shown.

    :param fault: Why the file is not as it should be; empty if it is.
    :param digest: Of its bytes; empty if they did not all come.
    :param size: How many bytes have come, with those of earlier downloads in front.
    """

    fault: str = ""
    lines: int = 0
    digest: bytes = b""
    size: int = 0


class _Wanted(NamedTuple):
    """What a download should bring.

    :param lines: How many lines the batch counted.
    :param names_requests: Whether one of them has to name a request.
    """

    file_id: str
    lines: int
    names_requests: bool


def _look(
    calls: Calls, wanted: _Wanted, path: Path, arrived: Arrived, before: bytes, doubted: Collection[int]
) -> _Seen:
    """Download a file, or what is lacking of it; judge it once that is all.

    :param arrived: What has come by now. What cannot be used of that is fetched again from the start.
    :param before: Digest of the last download that brought all.
    """
    try:
        fault = _download(calls, wanted.file_id, path, arrived)
    except KimiApiError as error:
        if error.status_code not in doubted:
            raise
        fault = str(error)
    if fault:
        return _Seen(fault, size=arrived.size)
    arrived.forget()
    lines, last = count_lines(path, MAX_LINE_BYTES)
    if (
        wanted.names_requests
        and (lines or wanted.lines)
        and not any(id_of(line) or name_of_unreadable(line) for line in _lines(path))
    ):
        return _Seen(
            f"File {wanted.file_id} came with {path.stat().st_size:,} bytes that name no request; the batch counted "
            f"{wanted.lines:,} lines."
        )
    fault = _shortage(wanted.file_id, lines, last, wanted.lines)
    digest = _digest(path) if fault or arrived.is_joined else b""
    if not fault and arrived.is_joined and digest != before:
        fault = _misfit(wanted.file_id, path)
    return _Seen(fault, lines, digest)


def _misfit(file_id: str, path: Path) -> str:
    """Say why the pieces of a file may be of two versions: nothing else tells where a server names none."""
    ids: set[int] = set()
    for line in _lines(path):
        if not (known := id_of(line)):
            return f"File {file_id} came in pieces, and a line of it cannot be read."
        if hash(known) in ids:
            return f"File {file_id} came in pieces, and a request is in it twice."
        ids.add(hash(known))
    return ""


def _lines(path: Path) -> Iterator[bytes]:
    return (line.removeprefix(BOM_UTF8) for _, line in lines_at(path, MAX_LINE_BYTES) if line.strip())


def _digest(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _download(calls: Calls, file_id: str, path: Path, arrived: Arrived) -> str:
    """Download once, as soon as the platform's rate limit lets it; return what else went wrong."""
    patience = calls.patience()
    while True:
        try:
            with path.open("r+b") as target:
                calls.hook.download_file(file_id, target, arrived)
            return ""
        except KimiError as error:
            if not is_rate_limit(error):
                if arrived.asks_for_rest and isinstance(error, KimiApiError):  # perhaps the rest alone is refused
                    arrived.refuse(for_good=not error.retryable)
                elif not error.retryable:
                    raise
                return str(error)
            if (pause := patience.pause_after(error)) is None:
                raise
            calls.pause_after(error, pause)


def _shortage(file_id: str, lines: int, last: bytes, expected_lines: int) -> str:
    if last and not is_whole(last):
        return f"File {file_id} ends inside a line, after {lines:,} lines (the batch counted {expected_lines:,})."
    if lines < expected_lines:
        return f"File {file_id} has {lines:,} lines; the batch counted {expected_lines:,}."
    return ""
