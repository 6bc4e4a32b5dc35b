"""The output directory: what is in it, and each single change of it. `switch` puts the changes in order."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from shutil import copyfile, copyfileobj
from typing import Any

import msgspec

from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import CHUNK_BYTES, ends_in_newline, read_lines
from airflow_provider_kimi.files.locations import (
    LASTING_FAULTS,
    check_directory_name,
    located,
    open_binary,
    storage_remedy,
)
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.staging import MANIFEST_NAME, is_staged, name_of, names_of, staged_name

#: Bytes of each write to object storage. S3 holds two parts of an upload in memory, of 50 MB each by default.
_BLOCK_BYTES = 8 << 20

NOT_LANDED = "Nothing was landed; the results stay on the platform."


class OutputDirectory:
    """The directory that a result is landed in.

    :param uri: URI of the directory, which is created if it does not exist.
    """

    def __init__(self, uri: str) -> None:
        check_directory_name("output", uri, NOT_LANDED)
        self.uri = uri
        with self._writing():
            self._path = object_storage_path(located(uri))
            _ = self._path.fs  # Airflow 2.11 refuses an unknown storage only here
            self._is_local = self._path.protocol == "file"
            self._staged: dict[str, bytes] = {}
            if self._is_local:  # on object storage it would create a bucket
                self._path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Refuse a directory that cannot be written, if a retry cannot help, as without a bucket."""
        try:
            yield
        except (FileExistsError, FileNotFoundError, *LASTING_FAULTS) as error:
            raise KimiInputError(
                f"Output {self.uri!r} cannot be written ({type(error).__name__}: {error}). The results of the batches "
                f"stay on the platform. {storage_remedy(self.uri, error)} Then clear this task: nothing is paid again."
            ) from None

    def manifest_bytes(self) -> bytes:
        """The manifest that is there now; empty if there is none."""
        # S3 answers "forbidden" for a file that does not exist, if the key may not list the bucket.
        absent = (FileNotFoundError, PermissionError)
        with self._writing(), suppress(*absent):
            path = self._fresh(MANIFEST_NAME)
            if not self._is_local:  # once opened, it could not be read if it was replaced meanwhile
                return bytes(path.fs.cat_file(path.path))
            with open_binary(path, "rb") as content:
                return content.read()
        return b""

    @property
    def earlier(self) -> Manifest | None:
        """The manifest of the result that the directory holds; None if it holds none."""
        return Manifest.of_json(self.manifest_bytes())

    def _fresh(self, name: str) -> Any:
        """A file of the directory; what the process remembers of it is forgotten."""
        path = self._path / name
        if not self._is_local:
            path.fs.invalidate_cache()
        return path

    def check_free(self, wanted: Collection[str], now: str = NOT_LANDED) -> None:
        """Refuse a directory in which files would be overwritten that are not of a result of ours.

        :param wanted: The names that the files of the result may have, and its manifest.
        :param now: What is true at this time.
        """
        there = {path.name: path for path in self._inside(wanted) if path.name in wanted}
        found = self.manifest_bytes()  # after the look at the directory: it holds one that was written meanwhile
        manifest = Manifest.of_json(found)
        with self._writing():
            is_own = manifest is not None or (not found and _is_empty(there.get(MANIFEST_NAME)))
        own = {*names_of(manifest), *([MANIFEST_NAME] if is_own else [])}
        for name, path in sorted(there.items()):
            is_directory = _is_known(path.is_dir)
            if name in own and not is_directory:
                continue
            kind = "the directory" if is_directory else "the file"
            raise KimiInputError(
                f"Output {self.uri!r} holds {kind} {name}, which no result of this provider lists. It is left as it "
                f"is. {now} Choose another directory, or move {name} away. Then clear this task: nothing is paid again."
            )

    def _inside(self, wanted: Iterable[str] = ()) -> list[Any]:
        """What is in the directory; where that may not be listed, which of the wanted files are."""
        try:
            self._fresh("")
            return list(self._path.iterdir())
        except PermissionError:
            return [path for path in map(self._fresh, wanted) if _is_known(path.exists)]
        except (FileNotFoundError, NotADirectoryError):  # object storage has no empty directories
            return []

    def staged_names(self) -> list[str]:
        """Names of files that landings have left beside the result."""
        return [path.name for path in self._inside() if is_staged(path.name)]

    def stage(self, landing: str, name: str, sources: Sequence[Path], *, with_digest: bool = False) -> str:
        """Write finished local files beside the result, as one file, and return its URI.

        In a file of lines, a last line without a newline gets one; any other file lands byte for byte.

        :param with_digest: Whether `is_as_published` is to be asked later.
        """
        target = self._path / staged_name(landing, name)
        is_open = [name.endswith(".jsonl") and not ends_in_newline(source) for source in sources]
        if with_digest:
            self._staged[name] = _digest(_joined(sources, is_open))
        if self._is_local and is_open == [False] and _moved(sources[0], target):
            return str(target)
        with self._writing(), open_binary(target, "wb", None if self._is_local else _BLOCK_BYTES) as landed:
            for chunk in _joined(sources, is_open):
                landed.write(chunk)
        return str(target)

    def write_manifest(self, landing: str, content: bytes) -> None:
        """Make a result of the directory, or another one, in one step."""
        self.write(MANIFEST_NAME, content, beside=staged_name(landing, MANIFEST_NAME))

    def write(self, name: str, content: bytes, *, beside: str = "") -> None:
        """Write a file, or replace it, in one step.

        :param beside: Its name on a disk until it is whole; empty for one that is made from its name.
        """
        target = self._path / ((beside or f"{name}.new") if self._is_local else name)
        with self._writing():
            with open_binary(target, "wb") as written:
                written.write(content)
            if self._is_local:
                target.replace(self._path / name)

    def place(self, name: str, source: Path) -> None:
        """Write a file, or replace it, in one step, as a copy of a local one."""
        target = self._path / (f"{name}.{os.getpid()}.new" if self._is_local else name)
        with self._writing():
            with source.open("rb") as content, open_binary(target, "wb", _BLOCK_BYTES) as written:
                copyfileobj(content, written, CHUNK_BYTES)
            if self._is_local:
                target.replace(self._path / name)

    def copy(self, name: str, target: Path) -> bool:
        """Copy a file to this machine; False if it is gone."""
        with suppress(FileNotFoundError), open_binary(self._fresh(name), "rb") as content:
            with target.open("wb") as written:
                copyfileobj(content, written, CHUNK_BYTES)
            return True
        return False

    def oldest(self, names: Sequence[str]) -> str:
        """The file of some that was written first; of several at the same time, the first by name."""
        return min(names, key=lambda name: (self._written_at(name), name))

    def _written_at(self, name: str) -> float:
        path = self._fresh(name)
        with suppress(FileNotFoundError):
            return float(path.fs.modified(path.path).timestamp())
        return inf  # it is gone

    def names_beginning(self, begin: str) -> list[str]:
        """Names of the files that begin so, in order."""
        return sorted(path.name for path in self._inside() if path.name.startswith(begin))

    def read(self, name: str) -> bytes:
        """Read a file; empty if it is gone."""
        with suppress(FileNotFoundError), open_binary(self._fresh(name), "rb") as content:
            return content.read()
        return b""

    def put(self, staged: str, name: str) -> str:
        """Give a staged file its usual name too, and return what tells this file from any later one."""
        source, target = self._path / staged, self._path / name
        with self._writing():
            if not self._is_local:
                target.fs.cp_file(source.path, target.path)  # not copy, for which [ and ? are a pattern
            else:
                _link_over(Path(source.path), Path(target.path))
        return self.version(name)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        try:
            self._fresh(name).stat()
        except FileNotFoundError:
            return False
        return True

    def version(self, name: str) -> str:
        """What tells a file from one that has replaced it; empty if it is gone."""
        path = self._fresh(name)
        try:
            if self._is_local:
                found = os.stat(path.path)
                return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
            return str(path.fs.ukey(path.path))
        except OSError:
            return ""

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is gone is not an error."""
        with self._writing():
            for name in names:  # a file whose upload has failed may be there, whatever was listed before
                path = self._fresh(name)
                with suppress(FileNotFoundError):
                    path.fs.rm_file(path.path)  # not rm, for which [ and ? in a name are a pattern

    def make_durable(self, uris: Iterable[str]) -> None:
        """Flush published files to disk, so that they survive a power cut; object storage promises that by itself.

        A file that is gone is not an error; see `is_as_published`.
        """
        if not self._is_local:
            return
        folder = Path(self._path.path)
        with self._writing():
            for path in (*(folder / name for name in (*map(name_of, uris), MANIFEST_NAME)), folder, folder.parent):
                with suppress(FileNotFoundError):
                    opened = os.open(path, os.O_RDONLY)
                    try:
                        os.fsync(opened)
                    finally:
                        os.close(opened)

    def is_as_published(self, manifest: Manifest) -> bool:
        """Whether the directory holds a manifest, and every file that was staged, byte for byte; False if none was."""
        is_whole = all(self._digest_of(name) == digest for name, digest in self._staged.items())
        return bool(self._staged) and is_whole and self.manifest_bytes() == manifest.to_json()

    def _digest_of(self, name: str) -> bytes | None:
        with suppress(OSError), open_binary(self._path / name, "rb") as content:
            return _digest(iter(lambda: content.read(CHUNK_BYTES), b""))
        return None

    def rows_are_of(self, manifest: Manifest) -> bool:
        """Whether the directory holds this manifest and its files, and every row names one of its batches.

        False too where that cannot be told, in a results file of another format than JSON lines.
        """
        with self._writing():
            if not all((self._path / name_of(uri)).exists() for uri in manifest.files.values()):
                return False
        if self.earlier != manifest:
            return False
        if manifest.results_file is None:
            return True
        try:
            with open_binary(self._path / name_of(manifest.results_file), "rb") as rows:
                ids = {msgspec.json.decode(row, type=_RowOfBatch).batch_id for row in read_lines(rows)}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return ids <= {*manifest.batch_ids, None}


class _RowOfBatch(msgspec.Struct):
    batch_id: str | None


def _is_known(look: Callable[[], bool]) -> bool:
    """Whether something is so, as far as that may be known."""
    with suppress(PermissionError):
        return look()
    return False


def _is_empty(path: Any | None) -> bool:
    """Whether a file that gives no content has none; not one that may be listed, but not read."""
    try:
        return path is None or path.stat().st_size == 0
    except FileNotFoundError:
        return True


def _joined(sources: Iterable[Path], needs_newline: Iterable[bool]) -> Iterator[bytes]:
    """Read files one after the other; one whose last line is open gets a newline."""
    for source, is_open in zip(sources, needs_newline, strict=True):
        with source.open("rb", buffering=0) as content:
            while chunk := content.read(CHUNK_BYTES):
                yield chunk
        if is_open:
            yield b"\n"


def _digest(chunks: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def _moved(source: Path, target: Any) -> bool:
    """Rename a file, which writes nothing; False if it has to be copied."""
    try:
        source.replace(target.path)
    except OSError:  # another disk
        return False
    return True


def _link_over(source: Path, target: Path) -> None:
    """Give a file a second name, which another file may have; copy it where a disk has no such links."""
    beside = source.with_name(f"{source.name}.link")
    beside.unlink(missing_ok=True)
    try:
        beside.hardlink_to(source)
    except OSError:
        copyfile(source, beside)
    beside.replace(target)
    beside.unlink(missing_ok=True)  # a rename onto the same file leaves both names
