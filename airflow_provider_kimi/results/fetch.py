"""Fetch a result file whole: a connection that ends early makes rows look missing that were paid for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_kimi.calls.patience import PAUSES_SECONDS, Calls
from airflow_provider_kimi.exceptions import KimiError, KimiResultError
from airflow_provider_kimi.files.line_ids import is_whole
from airflow_provider_kimi.files.lines import count_lines, new_file
from airflow_provider_kimi.results.answer_files import MAX_LINE_BYTES


@dataclass(frozen=True)
class Fetched:
    """A file on this machine.

    :param lines: How many lines it has that are not blank.
    :param is_whole: Whether it is what the platform promised.
    """

    path: Path
    lines: int
    is_whole: bool = True


def fetch_file(calls: Calls, file_id: str, path: Path, *, expected_lines: int) -> Fetched:
    """Download a JSONL file, and judge whether it is whole.

    A download that broke off is repeated. One that seems complete but ends inside a line, or has fewer lines than
    the batch's counts promise, is repeated too; if the same bytes come again, the file is so, and is accepted with
    a warning: the rows decide, not the counts.

    :param expected_lines: Lines that the batch's counts promise; 0 where they promise nothing.
    :raises KimiResultError: It never came whole.
    :raises KimiError: The platform refuses it.
    """
    seen: set[bytes] = set()
    fault = ""
    for pause in (*PAUSES_SECONDS, None):
        try:
            with new_file(path) as target:
                calls.hook.download_file(file_id, target)
        except KimiError as error:
            if not error.retryable:
                raise
            fault = str(error)
        else:
            count, last = count_lines(path, MAX_LINE_BYTES)
            fault = _shortage(count, last, expected_lines)
            if not fault:
                return Fetched(path, count)
            digest = _digest(path)
            if digest in seen:
                calls.log.warning("File %s %s; it came so twice, so it is taken as it is.", file_id, fault)
                return Fetched(path, count, is_whole=False)
            seen.add(digest)
        calls.log.warning("Download of file %s: %s", file_id, fault)
        if pause is not None:
            calls.sleep(pause)
    raise KimiResultError(
        f"File {file_id} could not be downloaded whole in {len(PAUSES_SECONDS) + 1} attempts; the last one: {fault} "
        "Nothing was landed and nothing is lost: the batch has ended, is billed as far as it ran, and its files stay "
        "on the platform. Clear this task to try again."
    )


def _shortage(count: int, last: bytes, expected_lines: int) -> str:
    if last and not is_whole(last):
        return f"ends inside a line, after {count:,} lines (the batch counted {expected_lines:,})"
    if count < expected_lines:
        return f"has {count:,} lines where the batch counted {expected_lines:,}"
    return ""


def _digest(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
