"""Saved rows: those whose requests are not sent, because the cache has their answer, or an earlier row asks the same.

They lie beside the result before anything is uploaded, so that every attempt saves the same ones whatever the cache
holds by then. A saved file is a header, and below it its rows in the order of the input.
"""

from dataclasses import astuple
from typing import TypeGuard

import msgspec

from airflow_provider_kimi.records.recipe_note import RecipeNote
from airflow_provider_kimi.records.tags import TaskIdentity, digest_of
from airflow_provider_kimi.records.versions import check_version

#: How the names of all saved files in an output directory begin, until they are in its result.
SAVED_PREFIX = ".kimi-saved-"

_DIGITS = 16


class SavedRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One row whose request is not sent.

    :param number: Its place among all rows of the input, from 1.
    :param shard: Number of the batch that it would have been in, from 1; 1 too if there is no batch.
    :param position: How many requests of that batch come before it.
    :param request: Its whole request line.
    :param answer: The `response` of an output line, as the cache holds it; UNSET for a row that repeats
        another.
    :param twin: `custom_id` of the earlier row of this input that asks the same; None for a row that the cache answers.
    :param row_digest: Of the row, where rows are compared by digests (see `RowsNote`); else empty.
    """

    custom_id: str
    number: int
    shard: int = 1
    position: int = 0
    twin: str | None = None
    row_digest: bytes = b""
    request: msgspec.Raw
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class SavedHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a saved file.

    :param saved_version: Of the shape.
    :param task: Digest of the task instance that it is of.
    :param fingerprint: Of all requests of the input, those that are sent and those that are not.
    :param cache: How many rows the cache answers.
    :param duplicate: How many rows repeat an earlier one.
    :param model: The model of the requests.
    :param prompt_fingerprint: Of the texts that say what to ask about a row; None if there are none.
    :param note: How rows became requests; None if that is not known.
    """

    saved_version: int = 1
    task: str
    fingerprint: str
    cache: int = 0
    duplicate: int = 0
    model: str | None = None
    prompt_fingerprint: str | None = None
    note: RecipeNote | None = None

    @property
    def rows(self) -> int:
        """How many rows are saved."""
        return self.cache + self.duplicate

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are saved, by where their answers are from."""
        return {"cache": self.cache, "duplicate": self.duplicate}

    def is_of(self, task: TaskIdentity, fingerprint: str) -> bool:
        """Whether this task instance has decided this about these requests."""
        return (self.task, self.fingerprint) == (task_digest(task), fingerprint)


def task_digest(task: TaskIdentity) -> str:
    """Name a task instance in few characters."""
    return digest_of(*map(str, astuple(task))).removeprefix("sha256:")[:_DIGITS]


def begin_of_saved(task: TaskIdentity, fingerprint: str) -> str:
    """How the names of the saved files of one task instance and input begin."""
    return f"{SAVED_PREFIX}{task_digest(task)}-{fingerprint.removeprefix('sha256:')[:_DIGITS]}-"


def name_of_saved(task: TaskIdentity, fingerprint: str, content_sha256: str) -> str:
    """Name a saved file; another content has another name.

    :param content_sha256: Of the whole file, in hexadecimal.
    """
    return f"{begin_of_saved(task, fingerprint)}{content_sha256[:_DIGITS]}.jsonl"


def is_name_of_saved(name: str | None) -> TypeGuard[str]:
    """Whether a tag names a saved file, and nothing outside of its directory."""
    return name is not None and name.startswith(SAVED_PREFIX) and name.endswith(".jsonl") and "/" not in name


def read_saved_line(line: bytes) -> SavedHeader | SavedRow | None:
    """Read a line of a saved file; None for one that is neither a header nor a row.

    :raises KimiResultError: It is a header that a later version has written.
    """
    try:
        return _decode_row(line)
    except msgspec.MsgspecError:
        pass
    try:
        header = _decode_header(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    check_version("The rows that were not sent, beside the result,", header.saved_version)
    return header


_decode_row = msgspec.json.Decoder(SavedRow).decode
_decode_header = msgspec.json.Decoder(SavedHeader).decode
