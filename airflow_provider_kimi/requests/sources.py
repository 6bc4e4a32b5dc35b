"""Where an input lies: in a file, a directory or files of a pattern, on any storage of Airflow, compressed or not."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, Literal, cast

from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import LASTING_FAULTS, located, open_binary, storage_remedy

Kind = Literal["jsonl", "csv", "parquet"]

_ENDINGS: dict[str, tuple[Kind, bool]] = {
    ".jsonl": ("jsonl", False),
    ".jsonl.gz": ("jsonl", True),
    ".csv": ("csv", False),
    ".csv.gz": ("csv", True),
    ".parquet": ("parquet", False),
}
_WILDCARDS = frozenset("*?[")

#: Files that other tools leave beside the data (`_SUCCESS`, `.crc`).
_HIDDEN = (".", "_")


@dataclass(frozen=True)
class SourceFile:
    """One file of an input.

    :param uri: Its address, as messages show it.
    :param compressed: Whether it is gzip.
    """

    path: Any
    uri: str
    kind: Kind
    compressed: bool

    def unreadable(self, problem: str, remedy: str) -> KimiInputError:
        """Return the error for a file that cannot be read as a whole."""
        return _unreadable(self.uri, problem, remedy)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it for reading; an error while it is read is an error of the input too."""
        with _reading(self.uri), open_binary(self.path, "rb") as source:
            if not self.compressed:
                yield source
                return
            with gzip.GzipFile(fileobj=source) as unpacked:
                yield cast(BinaryIO, unpacked)


def find_files(uri: str) -> list[SourceFile]:
    """Find the files of a URI, in the order of their names; there is at least one."""
    if not uri.strip():
        raise _unreadable(uri, "is empty", "Check what it is rendered from.")
    with _reading(uri):
        path = object_storage_path(located(uri))
        path.fs.invalidate_cache()  # the process may remember what an earlier task found
        if _WILDCARDS & set(str(path)) and not path.exists():
            return _chosen(uri, _matching(path))
        if path.is_dir():
            inside = list(path.iterdir())
            _check_no_directory(uri, inside)
            return _chosen(uri, inside)
        if uri.endswith("/"):
            raise FileNotFoundError
    return [_source_file(path, uri)]


def _matching(path: Any) -> list[Any]:
    """Follow a pattern from the directory above its first wildcard. A wildcard does not match a slash."""
    names = [path.name]
    folder = path.parent
    while _WILDCARDS & set(str(folder)) and not folder.exists():
        names.insert(0, folder.name)
        folder = folder.parent
    found = [folder]
    for name in names:
        below = [path for above in found if above.is_dir() for path in above.iterdir()]
        found = [path for path in below if fnmatchcase(path.name, name) and not path.name.startswith(_HIDDEN)]
    return found


def _check_no_directory(uri: str, inside: list[Any]) -> None:
    deeper = next((path.name for path in inside if not path.name.startswith(_HIDDEN) and path.is_dir()), None)
    if deeper is not None:
        raise _unreadable(
            uri,
            f"has the directory {deeper!r} in it, which would not be read",
            "Use a pattern: '.../*.jsonl' for the files beside it, '.../*/*.jsonl' for those inside.",
        )


def _chosen(uri: str, found: Any) -> list[SourceFile]:
    files = sorted((path for path in found if not path.name.startswith(_HIDDEN) and path.is_file()), key=str)
    if not files:
        raise _unreadable(
            uri,
            "has no files in it",
            "Check the path; names that start with '_' or '.' are ignored. A single prompt is given as a list.",
        )
    return [_source_file(path, str(path)) for path in files]


def _source_file(path: Any, uri: str) -> SourceFile:
    for ending, (kind, compressed) in _ENDINGS.items():
        if path.name.endswith(ending):
            return SourceFile(path, uri, kind, compressed)
    raise _unreadable(
        uri,
        f"ends in none of {', '.join(_ENDINGS)}",
        "Convert it to one of them, or name a pattern such as 'data/*.jsonl'; a single prompt is given as a list.",
    )


@contextmanager
def _reading(uri: str) -> Iterator[None]:
    """Raise `KimiInputError` for what a retry cannot change."""
    try:
        yield
    except KimiInputError:
        raise
    except FileNotFoundError:
        raise _unreadable(uri, "does not exist", "Check the path, and that this worker can reach it.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _unreadable(uri, f"is not a whole gzip file ({error})", "Write the file again.") from None
    except LASTING_FAULTS as error:
        raise _unreadable(
            uri, f"cannot be opened ({type(error).__name__}: {str(error)[:200]})", storage_remedy(uri, error)
        ) from None


def _unreadable(uri: str, problem: str, remedy: str) -> KimiInputError:
    return KimiInputError(f"Input {uri[:200]!r} {problem}. Nothing was sent. {remedy}")
