"""Whether an output directory and an input are in each other's way."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from airflow_provider_kimi.files.locations import Location
from airflow_provider_kimi.requests.sources import WILDCARDS


def overlap(source: Location, output: Location, names: Iterable[str]) -> str:
    """Say how an output is in the way of an input; empty if it is not.

    :param source: A file, a directory or a pattern.
    :param output: A directory.
    :param names: The files that a result has.
    """
    if source.storage != output.storage:
        return ""
    wanted, found = source.parts, output.parts
    if wanted[:-1] == found:
        return "holds the input"
    if not any(WILDCARDS & set(part) for part in wanted):
        is_inside = found[: len(wanted)] == wanted
        return "lies inside the input, so that the next run would read results as rows" if is_inside else ""
    paths = [*((*found, name) for name in names), *(found[:end] for end in range(1, len(found) + 1))]
    if any(_matches(path, wanted) for path in paths):  # a directory that matches is read through
        return "lies inside the pattern of the input, so that the next run would read results as rows"
    return ""


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern part by part; `**` stands for any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
