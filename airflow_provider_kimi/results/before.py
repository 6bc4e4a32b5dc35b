"""The labels of the earlier result that a task names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_kimi.results.drift import Before, labels_before
from airflow_provider_kimi.results.earlier import as_read, find_earlier


def read_before(compare_with: Any, output: str) -> Before | None:
    """Read the labels of an earlier result; None if its manifest names none.

    :param compare_with: URI of its directory or of its manifest, the manifest that its task returned, or the extra of
        its asset event. One that names labels is taken as it is, whatever has become of the result since.
    :param output: URI of the directory of the new result.
    :raises KimiInputError: There is no result that this version can read.
    """
    given = as_read(compare_with)
    named = labels_before(given) if isinstance(given, Mapping) else None
    return named or labels_before(find_earlier(given, output, "compare_with").manifest.to_dict())
