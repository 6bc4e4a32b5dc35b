"""Ids of the platform: opaque. One rule says what may be one, and one way puts it into a path."""

import ast
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from airflow_provider_kimi.exceptions import KimiInputError

#: A text that no platform gives as an id: a rendered None, list or mapping, a sentence, a step to another directory.
_NO_ID = re.compile(r"""None | .*[\s\x00-\x1f\x7f-\x9f,'"\[\]{}<>\\].* | (.*/)?\.{1,2}(/.*)?""", re.VERBOSE | re.DOTALL)


def is_id(value: object) -> bool:
    """Whether a value may be an id."""
    return isinstance(value, str) and value != "" and value.isprintable() and _NO_ID.fullmatch(value) is None


def checked_id(value: str) -> str:
    """Return an id; refuse any other value."""
    if not is_id(value):
        raise KimiInputError(f"{value!r:.80} is not the id of a batch or file. Nothing was sent.")
    return value


def in_path(value: str) -> str:
    """Return an id as one part of the path of a URL or of a file, percent-encoded; refuse any other value."""
    return quote(checked_id(value), safe=":")


def read_batch_ids(value: object) -> list[str]:
    """Read the `batch_id` of an operator: one id, lists of ids, or the rendered text of a list; refuse all else."""
    if not (ids := _read_ids(value)):
        raise KimiInputError(
            f"batch_id is {reprlib.repr(value)}, which is not a batch id or a list of them. Nothing was sent. Pass the "
            "output of the task that created the batch, one id, or a list of ids."
        )
    return ids


def read_some_ids(value: object) -> tuple[list[Any], int]:
    """Read the `batch_id` of an operator in which ids may be missing: what is there, and how many are missing.

    An id is missing where the task that should have returned it returned nothing: None, also as text, or an empty text.
    """
    leaves = list(_flat(_parsed(value)))
    there = [leaf for leaf in leaves if not (leaf is None or (isinstance(leaf, str) and leaf.strip() in ("", "None")))]
    return there, len(leaves) - len(there) or int(not leaves)


def read_file_ids(value: object) -> list[str]:
    """Read the `file_id` of an operator in the same way; a list may be empty."""
    if (ids := _read_ids(value)) is None:
        raise KimiInputError(
            f"file_id is {reprlib.repr(value)}, which is not a file id or a list of them. Nothing was deleted. Pass "
            "one id, a list of ids, or the XCom input_file_ids or output_file_ids of a task."
        )
    return ids


def _read_ids(value: object) -> list[str] | None:
    """Read ids, each once; None if something else is among them."""
    try:
        ids = [part.strip() if isinstance(part, str) else part for part in _flat(_parsed(value))]
    except RecursionError:
        return None
    return list(dict.fromkeys(ids)) if all(map(is_id, ids)) else None


def _parsed(value: object) -> object:
    """Read the rendered text of a list; return any other value as it is."""
    if isinstance(value, str) and value.strip().startswith("["):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return ast.literal_eval(value.strip())
    return value


def _flat(value: object) -> Iterator[Any]:
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        for part in value:
            yield from _flat(part)
    else:
        yield value
