"""Ids of the platform: opaque, but they go into the paths of URLs and files."""

import ast
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from airflow_provider_kimi.exceptions import KimiInputError

#: Keeps out only what could not stand in a path, such as a rendered None, a sentence, or steps to another directory.
_ID = re.compile(r"(?!None$)\w[\w.:-]*")


def is_id(value: object) -> bool:
    """Whether something may be an id, and is harmless in a path."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def checked_id(value: str) -> str:
    """Return an id that goes into the path of a URL.

    :raises KimiInputError: It could not be one.
    """
    if not is_id(value):
        raise KimiInputError(f"{value!r:.80} is no id of a batch or file, so it was not sent to the platform.")
    return value


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
