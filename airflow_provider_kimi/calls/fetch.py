"""Fetch a file whole: after a connection that ended early, paid rows would seem to be missing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_kimi.calls.patience import PAUSES_SECONDS, Calls
from airflow_provider_kimi.exceptions import KimiError, KimiResultError
from airflow_provider_kimi.files.line_ids import is_whole
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES, count_lines, new_file


@dataclass(frozen=True)
class Fetched:
    """A file on this machine.

    :param lines: How many lines it has, without blank ones.
    :param is_whole: Whether it has all the lines that the batch counted.
    """

    path: Path
    lines: int
    is_whole: bool = True


def fetch_file(calls: Calls, file_id: str, path: Path, *, expected_lines: int) -> Fetched:
    """Download a JSONL file, and judge whether it is whole.

    A download that breaks off is repeated, and so is one that ends inside a line, or has fewer lines than the batch
    counted. If the same bytes come again, the file is accepted with a warning, because the rows decide, not the counts.

    :param expected_lines: Lines that the batch counted; 0 if it counted none.
    :raises KimiResultError: It never came whole.
    :raises KimiError: The platform refuses the download.
    """
    seen: set[bytes] = set()
    for pause in (*PAUSES_SECONDS, None):
        fault = _download(calls, file_id, path)
        if fault is None:
            lines, last = count_lines(path, MAX_LINE_BYTES)
            fault = _shortage(file_id, lines, last, expected_lines)
            if fault is None:
                return Fetched(path, lines)
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").digest()
            if digest in seen:
                calls.log.warning("%s The same bytes came twice, so the file is accepted.", fault)
                return Fetched(path, lines, is_whole=False)
            seen.add(digest)
        calls.log.warning("%s", fault)
        if pause is not None:
            calls.sleep(pause)
    raise KimiResultError(
        f"File {file_id} could not be downloaded whole in {len(PAUSES_SECONDS) + 1} attempts. The last one: {fault} "
        "Nothing was landed and nothing is lost: the batch has ended, is billed as far as it ran, and its files stay "
        "on the platform. Clear this task to try again."
    )


def _download(calls: Calls, file_id: str, path: Path) -> str | None:
    try:
        with new_file(path) as target:
            calls.hook.download_file(file_id, target)
    except KimiError as error:
        if not error.retryable:
            raise
        return str(error)
    return None


def _shortage(file_id: str, lines: int, last: bytes, expected_lines: int) -> str | None:
    if last and not is_whole(last):
        return f"File {file_id} ends inside a line, after {lines:,} lines (the batch counted {expected_lines:,})."
    if lines < expected_lines:
        return f"File {file_id} has {lines:,} lines; the batch counted {expected_lines:,}."
    return None
