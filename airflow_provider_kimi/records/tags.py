"""Names that survive a retry: fingerprints, the job key, and the metadata that every batch carries."""

import ast
import hashlib
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from airflow_provider_kimi import __version__
from airflow_provider_kimi.api.ids import is_id
from airflow_provider_kimi.api.limits import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_PAIRS,
    MAX_METADATA_VALUE_CHARS,
    MAX_WINDOW_HOURS,
    MIN_WINDOW_HOURS,
)
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.skipped import SKIPPED_FILE_KEY
from airflow_provider_kimi.results.columns import COLUMNS_KEY

#: Marks a batch of an attempt that paid for fresh work, so that other attempts' batches do not race with it.
ATTEMPT_KEY = "kimi_attempt"

#: Digest of the texts that say what to ask about a row.
PROMPT_FINGERPRINT_KEY = "kimi_prompt_fingerprint"
_RESERVED = (PROMPT_FINGERPRINT_KEY, "kimi_model", "kimi_params", ATTEMPT_KEY, SKIPPED_FILE_KEY, COLUMNS_KEY)
_SHARD = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)")
_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")


@dataclass(frozen=True)
class TaskIdentity:
    """Which task instance asks; `map_index` is -1 for an unmapped task."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class Attempt:
    """One try of a task instance. Nothing of it but `task` decides which work is the same.

    :param number: Airflow's try number, from 1.
    :param mark: Differs between any two tries, also of runs that bear the same id.
    :param is_last: Whether the task fails for good if this try fails.
    :param run_after: Unix seconds before which its run cannot have submitted anything; None if that is not known.
    """

    task: TaskIdentity
    number: int = 1
    mark: str = "1"
    is_last: bool = True
    run_after: float | None = None


def digest_of(*parts: str | None) -> str:
    """Fingerprint texts, in order; None and "" differ."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def job_key(task: TaskIdentity, input_fingerprint: str) -> str:
    """Name the work: the same for every attempt, and for a mapped instance whose index has moved."""
    return digest_of(task.dag_id, task.run_id, task.task_id, input_fingerprint).removeprefix("sha256:")[:32]


def shard_label(number: int, shards: int) -> str:
    """Number a batch among those of its job, from 1."""
    return f"{number}/{shards}"


def shard_number(label: object) -> int | None:
    """Read a label; None where it is none."""
    return _shard(label, 1)


def shard_count(label: object) -> int | None:
    """Read from a label how many batches the job has; None where it is none."""
    return _shard(label, 2)


def _shard(label: object, group: int) -> int | None:
    found = _SHARD.fullmatch(label) if isinstance(label, str) else None
    return int(found[group]) if found else None


def _instance(task: TaskIdentity) -> dict[str, str]:
    return {
        "airflow_dag_id": shortened(task.dag_id),
        "airflow_run_id": shortened(task.run_id),
        "airflow_task_id": shortened(task.task_id),
        "airflow_map_index": str(task.map_index),
    }


def is_of_instance(metadata: Mapping[str, Any], task: TaskIdentity) -> bool:
    """Whether a batch was made by an attempt of this very task instance."""
    return all(metadata.get(key) == value for key, value in _instance(task).items())


def batch_metadata(
    task: TaskIdentity,
    *,
    job: str,
    input_fingerprint: str,
    shard: str,
    extra: Mapping[str, str],
    skipped_file_id: str | None = None,
    attempt_mark: str | None = None,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Tag a batch, so that it can be found again and traced to its task.

    :param job: The job's key.
    :param input_fingerprint: Of this batch's own input file.
    :param shard: Its label among the job's batches.
    :param extra: The user's own pairs.
    :param skipped_file_id: File of the rows that were left out; None where there are none.
    :param attempt_mark: Of an attempt that pays for fresh work; None for one that attaches to what is there.
    :param notes: What is good to know later; noted as far as there is room, in this order.
    :raises KimiInputError: The user's pairs do not fit beside ours.
    """
    own = {
        **_instance(task),
        "kimi_job_key": job,
        "kimi_input_fingerprint": input_fingerprint,
        "kimi_shard": shard,
        "kimi_provider_version": __version__,
    }
    if skipped_file_id is not None:
        own[SKIPPED_FILE_KEY] = skipped_file_id
    if attempt_mark is not None:
        own[ATTEMPT_KEY] = attempt_mark
    check_metadata(extra, own)
    pairs = {**own, **extra}
    for key, value in notes.items():
        if len(value) <= MAX_METADATA_VALUE_CHARS and len(pairs) < MAX_METADATA_PAIRS:
            pairs[key] = value
    return pairs


def check_metadata(extra: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Refuse pairs that the platform would refuse, or that would hide ours."""
    room = MAX_METADATA_PAIRS - len(own)
    if len(extra) > room:
        raise _wrong_metadata(
            f"has {len(extra)} pairs; a batch may have {MAX_METADATA_PAIRS}, of which {len(own)} are this provider's",
            f"Keep at most {room}.",
        )
    for key, value in extra.items():
        if not isinstance(key, str) or not key or len(key) > MAX_METADATA_KEY_CHARS:
            raise _wrong_metadata(
                f"has the key {str(key)[:80]!r}; a key is text of 1 to {MAX_METADATA_KEY_CHARS} characters",
                "Shorten it.",
            )
        if key in own or key in _RESERVED:
            raise _wrong_metadata(f"has the key {key!r}, which this provider sets", "Choose another name.")
        if not isinstance(value, str) or len(value) > MAX_METADATA_VALUE_CHARS:
            raise _wrong_metadata(
                f"has a value of {key!r} that is not text of at most {MAX_METADATA_VALUE_CHARS} characters",
                "Shorten it.",
            )


def _wrong_metadata(fault: str, remedy: str) -> KimiInputError:
    return KimiInputError(f"metadata {fault}. Nothing was sent. {remedy}")


def shortened(text: str) -> str:
    """Fit a long id into a metadata value: its beginning and a digest of the whole, so that two never meet."""
    if len(text) <= MAX_METADATA_VALUE_CHARS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: MAX_METADATA_VALUE_CHARS - len(digest) - 1]}~{digest}"


def check_window(completion_window: str) -> None:
    """Refuse a completion window that the platform would refuse.

    :raises KimiInputError: It is not `<number>h` or `<number>d` between 12 hours and 7 days.
    """
    found = _WINDOW.fullmatch(completion_window) if isinstance(completion_window, str) else None
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if not MIN_WINDOW_HOURS <= hours <= MAX_WINDOW_HOURS:
        raise KimiInputError(
            f"completion_window is {completion_window!r}; Kimi accepts {MIN_WINDOW_HOURS}h to {MAX_WINDOW_HOURS}h, "
            "written in whole hours or days. Nothing was sent. Use for example '12h', '24h', '3d' or '7d'."
        )


def read_batch_ids(value: object) -> list[str]:
    """Read what an operator was given as `batch_id`: one id, lists of ids, or the rendered text of a list.

    :raises KimiInputError: There is no id in it, or it is something else.
    """
    if not (ids := _read_ids(value)):
        raise KimiInputError(
            f"batch_id is {reprlib.repr(value)}, which is not a batch id or a list of them. Nothing was sent. Pass the "
            "output of the task that created the batch, one id, or a list of ids."
        )
    return ids


def read_file_ids(value: object) -> list[str]:
    """Read what an operator was given as `file_id`, likewise; a list may be empty.

    :raises KimiInputError: It is something else.
    """
    if (ids := _read_ids(value)) is None:
        raise KimiInputError(
            f"file_id is {reprlib.repr(value)}, which is not a file id or a list of them. Nothing was deleted. Pass "
            "one id, a list of ids, or the XCom input_file_ids or output_file_ids of a task."
        )
    return ids


def _read_ids(value: object) -> list[str] | None:
    """Read ids, each once; None where something else is among them."""
    if isinstance(value, str) and value.strip().startswith("["):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value.strip())
    try:
        ids = [part.strip() if isinstance(part, str) else part for part in _flat(value)]
    except RecursionError:
        return None
    return list(dict.fromkeys(ids)) if all(map(is_id, ids)) else None


def _flat(value: object) -> Iterator[Any]:
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        for part in value:
            yield from _flat(part)
    else:
        yield value
