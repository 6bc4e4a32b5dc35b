"""Where an input lies: in a file, a directory or files of a pattern, on any storage of Airflow, compressed or not."""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, Literal, cast

from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import LASTING_FAULTS, located, open_binary, storage_remedy
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.requests.partitions import columns_of, is_partition
from airflow_provider_kimi.requests.recoding import as_utf8

Kind = Literal["jsonl", "json", "csv", "tsv", "parquet"]
Packing = Literal["gzip", "zstd"]

_KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_PACKINGS: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}
_ENDINGS = ".jsonl, .ndjson, .json, .csv, .tsv (each of them also with .gz or .zst), .parquet"

#: What makes a pattern of a path.
WILDCARDS = frozenset("*?[")

#: The part of a pattern that stands for directories of any depth, and for none.
_ANY_DEPTH = "**"

#: Files that other tools leave beside the data (`_SUCCESS`, `.crc`).
_HIDDEN = (".", "_")


class MisreadError(KimiInputError):
    """A file has another encoding, or other cells, than it was read with. Nothing was sent.

    :param found: What was found, without what to do about it, which depends on who may say how files are read.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}. Nothing was sent. {remedy}")
        self.found = found


@dataclass(frozen=True)
class SourceFile:
    """One file of an input.

    :param uri: Its address, as messages show it.
    :param packing: How it is compressed; None if it is not.
    :param partitions: Columns that the directories above it hold.
    """

    path: Any
    uri: str
    kind: Kind
    packing: Packing | None = None
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    reading: Reading = PLAIN

    @property
    def delimiter(self) -> str:
        """What separates its cells."""
        return self.reading.delimiter or ("\t" if self.kind == "tsv" else ",")

    def unreadable(self, problem: str, remedy: str) -> KimiInputError:
        """Return the error for a file that cannot be read as a whole."""
        return _unreadable(self.uri, problem, remedy)

    def misread(self, problem: str, remedy: str) -> KimiInputError:
        """Return the error for a file that has another form than it was read with."""
        return MisreadError(f"Input {self.uri[:200]!r} {problem}", remedy)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it for reading, text as UTF-8; an error while it is read is an error of the input too."""
        with _reading(self.uri), open_binary(self.path, "rb") as source, self._unpacked(source) as content:
            encoding = None if self.kind == "parquet" else self.reading.encoding
            yield content if encoding is None else as_utf8(content, encoding, self.misread)

    @contextmanager
    def _unpacked(self, source: BinaryIO) -> Iterator[BinaryIO]:
        if self.packing is None:
            yield source
        elif self.packing == "gzip":
            with gzip.GzipFile(fileobj=source) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            with self._zstd(source) as unpacked:
                yield unpacked

    @contextmanager
    def _zstd(self, source: BinaryIO) -> Iterator[BinaryIO]:
        try:
            from pyarrow import CompressedInputStream
        except ImportError:
            raise self.unreadable(
                "is compressed by zstd, and pyarrow, which reads that, is not installed here",
                "On the workers: pip install 'airflow-provider-kimi[parquet]'. Files with .gz need no extra.",
            ) from None
        try:
            with CompressedInputStream(source, "zstd") as unpacked:
                yield unpacked
        except OSError as error:
            if error.errno is not None:  # pyarrow's own errors have no number
                raise
            problem = f"is not a whole zstd file ({str(error)[:200]})"
            raise self.unreadable(problem, "Write the file again.") from None


def find_files(uri: str, reading: Reading = PLAIN) -> list[SourceFile]:
    """Find the files of a URI, in the order of their names; there is at least one."""
    if not uri.strip():
        raise _unreadable(uri, "is empty", "Check what it is rendered from.")
    with _reading(uri):
        path = object_storage_path(located(uri))
        path.fs.invalidate_cache()  # the process may remember what an earlier task found
        if WILDCARDS & set(str(path)) and not path.exists():
            base, parts = _split(path)
            return _chosen(uri, base, _files_of(uri, _matching(base, parts)), reading)
        if path.is_dir():
            return _chosen(uri, path, _inside(uri, path), reading)
        if uri.endswith("/"):
            raise FileNotFoundError
    return [_source_file(path, uri, {}, reading)]


def _split(path: Any) -> tuple[Any, list[str]]:
    """Split a pattern into the directory above its first wildcard, and the names below."""
    parts = [path.name, "*"] if path.name == _ANY_DEPTH else [path.name]
    base = path.parent
    while WILDCARDS & set(str(base)) and not base.exists():
        parts.insert(0, base.name)
        base = base.parent
    return base, parts


def _matching(base: Any, parts: Iterable[str]) -> list[Any]:
    """Follow a pattern. A wildcard does not match a slash, `**` directories of any depth."""
    found = [base]
    for part in parts:
        if part == _ANY_DEPTH:
            found = list({str(path): path for above in found for path in _with_all_below(above)}.values())
        else:
            below = [path for above in found if above.is_dir() for path in _visible(above)]
            found = [path for path in below if fnmatchcase(path.name, part)]
    return found


def _files_of(uri: str, found: list[Any]) -> list[Any]:
    """What a pattern has found, or what is in it if that is directories only."""
    if any(path.is_file() for path in found):
        return found
    return [path for folder in found for path in _inside(uri, folder)]


def _with_all_below(folder: Any) -> Iterator[Any]:
    """A directory and all below it, without those that are links, which may lead in a circle."""
    if folder.is_dir():
        yield folder
        for path in _visible(folder):
            if path.is_dir() and not path.is_symlink():
                yield from _with_all_below(path)


def _inside(uri: str, folder: Any) -> list[Any]:
    """The files of a directory, or of its partitions if it has only these."""
    inside = _visible(folder)
    folders = [path for path in inside if path.is_dir()]
    if folders and len(folders) == len(inside) and all(is_partition(path.name) for path in folders):
        return [path for partition in folders for path in _inside(uri, partition)]
    if folders:
        raise _unreadable(
            uri,
            f"has the directory {folders[0].name!r} in it, which would not be read",
            "Use a pattern: '.../*.jsonl' for the files beside it, '.../**/*.jsonl' for all below as well.",
        )
    return inside


def _visible(folder: Any) -> list[Any]:
    return [path for path in folder.iterdir() if not path.name.startswith(_HIDDEN)]


def _chosen(uri: str, base: Any, found: Iterable[Any], reading: Reading) -> list[SourceFile]:
    files = sorted((path for path in found if path.is_file()), key=str)
    if not files:
        raise _unreadable(
            uri,
            "has no files in it",
            "Check the path; names that start with '_' or '.' are ignored. A single prompt is given as a list.",
        )
    return [_source_file(path, str(path), _partitions(path, base), reading) for path in files]


def _partitions(path: Any, base: Any) -> dict[str, str | None]:
    below = str(path).removeprefix(str(base)).strip("/").split("/")[:-1]
    try:
        return columns_of(below)
    except ValueError as error:
        raise _unreadable(str(path), str(error), "Rename one of them.") from None


def _source_file(path: Any, uri: str, partitions: Mapping[str, str | None], reading: Reading) -> SourceFile:
    name = path.name.lower()
    packing = next((packing for ending, packing in _PACKINGS.items() if name.endswith(ending)), None)
    plain = name.rpartition(".")[0] if packing else name
    kind = next((kind for ending, kind in _KINDS.items() if plain.endswith(ending)), None)
    if kind is None or (kind == "parquet" and packing):
        raise _unreadable(
            uri,
            f"ends in none of {_ENDINGS}",
            "Convert it to one of them, or name a pattern such as 'data/*.jsonl'; a single prompt is given as a list.",
        )
    return SourceFile(path, uri, kind, packing, partitions, reading)


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
