"""Ids of the platform: opaque, but they go into the paths of URLs and files."""

import re

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
