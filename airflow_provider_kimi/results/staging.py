"""Names of files on their way into an output directory, where they stand beside the old ones at first."""

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from airflow_provider_kimi.records.manifest import FILE_FIELDS, Manifest

#: Without this file the directory is not a result.
MANIFEST_NAME = "manifest.json"

OUTPUT_NAME = "output.jsonl"
ERROR_NAME = "error.jsonl"
DEAD_LETTER_NAME = "dead_letter.jsonl"
REALTIME_NAME = "realtime.jsonl"
SAVED_NAME = "saved.jsonl"
REPORT_NAME = "report.html"

#: What every version of this package calls the files of a result, beside the manifest.
_OF_RESULT = re.compile(r"(output|error|results|dead_letter|realtime|saved|report)\.[a-z]+")

_STAGED = re.compile(
    rf"\.kimi-(?P<landing>[0-9a-f]{{16}})\.(?P<name>{_OF_RESULT.pattern}|{re.escape(MANIFEST_NAME)})(\.link)?"
)


def staged_name(landing: str, name: str) -> str:
    """Name a file that a landing has not put into its place yet; patterns of inputs ignore it."""
    return f".kimi-{landing}.{name}"


def is_left_by(name: str, begin: str) -> bool:
    """Whether a landing whose name begins so has staged a file; False for an empty one."""
    found = _STAGED.fullmatch(name)
    return bool(begin) and found is not None and found["landing"].startswith(begin)


def usual_name(name: str) -> str:
    """The name that a file of a result has in the end."""
    found = _STAGED.fullmatch(name)
    return found["name"] if found else name


def is_staged(name: str) -> bool:
    """Whether a landing has written a file, and not put it into its place."""
    return _STAGED.fullmatch(name) is not None


def name_of(uri: str) -> str:
    """The last part of a URI."""
    return uri.rsplit("/", 1)[-1]


def names_of(manifest: Manifest | None) -> set[str]:
    """The names of the files that are the result's own: those that it lists, and those that they are to replace.

    A name that no result has is not, whatever somebody has written into the manifest.
    """
    if manifest is None:
        return set()
    listed = {name_of(uri) for uri in manifest.files.values()}
    return {*_of_result({*listed, *map(usual_name, listed)}), *former_names(manifest)}


def former_names(manifest: Manifest) -> set[str]:
    """The names of the files that a result is to replace, and that are not removed yet."""
    return _of_result(manifest.former_files or ())


def _of_result(names: Iterable[str]) -> set[str]:
    return {name for name in names if _OF_RESULT.fullmatch(usual_name(name))}


def placed(manifest: Manifest, unremoved: Sequence[str] = ()) -> Manifest:
    """The manifest once every file has its usual name.

    :param unremoved: Names of former files that are still there, which the manifest goes on to name as its own.
    """
    fields: Mapping[str, str] = {
        field: uri.removesuffix(name_of(uri)) + usual_name(name_of(uri)) for field, uri in manifest.files.items()
    }
    return replace(manifest, former_files=[*unremoved] or UNSET, **fields)


def staged_files(manifest: Manifest) -> dict[str, str]:
    """The usual name of each file that a manifest lists under the name of its landing."""
    names = (name_of(getattr(manifest, field) or "") for field in FILE_FIELDS)
    return {name: usual_name(name) for name in names if is_staged(name)}
