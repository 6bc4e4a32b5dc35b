"""The output directory: each file appears whole, the manifest last."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import CHUNK_BYTES, ends_in_newline, read_lines
from airflow_provider_kimi.files.locations import LASTING_FAULTS, located, open_binary, storage_remedy
from airflow_provider_kimi.records.manifest import Manifest

#: Without this file the directory is not a result.
MANIFEST_NAME = "manifest.json"


class OutputDirectory:
    """The directory that a result is landed in.

    :param uri: URI of the directory, which is created if it does not exist.
    """

    def __init__(self, uri: str) -> None:
        if not uri or not str(uri).strip():  # a blank one would be the worker's own directory
            raise KimiInputError(
                f"output is {uri!r}; it must be the URI of a directory. Nothing was landed; the results stay on the "
                "platform. Check the template of output."
            )
        self.uri = uri
        with self._writing():
            self._path = object_storage_path(located(uri))
            _ = self._path.fs  # Airflow 2.11 refuses an unknown storage only here
            self._is_local = self._path.protocol == "file"
            # S3 holds two parts of an upload in memory, of 50 MB each by default.
            self._block_bytes = None if self._is_local else 8 << 20
            self._published: dict[str, bytes] = {}
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

    @property
    def earlier(self) -> Manifest | None:
        """The manifest of the result that the directory holds; None if it holds none."""
        # S3 answers "forbidden" for a file that does not exist, if the key may not list the bucket.
        absent = (FileNotFoundError, PermissionError)
        with self._writing(), suppress(*absent), open_binary(self._path / MANIFEST_NAME, "rb") as content:
            return Manifest.of_json(content.read())
        return None

    def manifest_of(self, batch_ids: Iterable[str]) -> Manifest | None:
        """Read the manifest of the result of these batches; None if the directory holds none of them."""
        earlier = self.earlier
        return earlier if earlier and sorted(earlier.batch_ids) == sorted(batch_ids) else None

    def withdraw(self, *names: str) -> None:
        """Delete the manifest, so that the directory is not a result while it changes, then the named files, and the
        results file that the manifest names, which may be of another format.
        """
        earlier = self.earlier
        former = [_name(earlier.results_file)] if earlier and earlier.results_file else []
        with self._writing():
            for name in (MANIFEST_NAME, *names, *former):
                (self._path / name).unlink(missing_ok=True)

    def publish(self, name: str, *sources: Path) -> str:
        """Move finished local files into the directory, as one file, and return its URI.

        In a file of lines, a last line without a newline gets one; any other file lands byte for byte. On a local disk
        readers see the file only once it is whole; on object storage the manifest alone says so.
        """
        target = self._path / name
        staged = self._path / f".{name}.part" if self._is_local else target
        try:
            is_open = [name.endswith(".jsonl") and not ends_in_newline(source) for source in sources]
            self._published[name] = _digest(_joined(sources, is_open))
            if self._is_local and is_open == [False] and _moved(sources[0], target):
                staged.unlink(missing_ok=True)  # of an attempt that was killed
                return str(target)
            with self._writing(), open_binary(staged, "wb", self._block_bytes) as landed:
                for chunk in _joined(sources, is_open):
                    landed.write(chunk)
            if self._is_local:
                staged.replace(target)
        except BaseException:
            with suppress(OSError):  # it must not hide the first error
                staged.unlink(missing_ok=True)
            raise
        return str(target)

    def make_durable(self, uris: Iterable[str]) -> None:
        """Flush published files to disk, so that they survive a power cut; object storage promises that by itself.

        A file that is gone is not an error; see `is_as_published`.
        """
        if not self._is_local:
            return
        folder = Path(self._path.path)
        names = map(_name, uris)
        with self._writing():
            for path in (*(folder / name for name in (*names, MANIFEST_NAME)), folder, folder.parent):
                with suppress(FileNotFoundError):
                    opened = os.open(path, os.O_RDONLY)
                    try:
                        os.fsync(opened)
                    finally:
                        os.close(opened)

    def publish_manifest(self, manifest: Manifest, workshop: Path) -> None:
        """Make the directory a result."""
        path = workshop / MANIFEST_NAME
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        self.publish(MANIFEST_NAME, path)

    def is_as_published(self) -> bool:
        """Whether every file that was published is in the directory now, byte for byte; False if nothing was."""
        return bool(self._published) and all(self._digest_of(name) == is_ for name, is_ in self._published.items())

    def _digest_of(self, name: str) -> bytes | None:
        with suppress(OSError), open_binary(self._path / name, "rb") as content:
            return _digest(iter(lambda: content.read(CHUNK_BYTES), b""))
        return None

    def rows_are_of(self, manifest: Manifest) -> bool:
        """Whether the directory holds this manifest and its files, and every row names one of its batches.

        False too where that cannot be told, in a results file of another format than JSON lines.
        """
        with self._writing():
            if not all((self._path / _name(uri)).exists() for uri in manifest.files.values()):
                return False
        if self.earlier != manifest:
            return False
        if manifest.results_file is None:
            return True
        try:
            with open_binary(self._path / _name(manifest.results_file), "rb") as rows:
                ids = {msgspec.json.decode(row, type=_RowOfBatch).batch_id for row in read_lines(rows)}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return ids <= {*manifest.batch_ids}


class _RowOfBatch(msgspec.Struct):
    batch_id: str


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


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def _moved(source: Path, target: Any) -> bool:
    """Rename a file, which writes nothing; False if it has to be copied."""
    try:
        source.replace(target.path)
    except OSError:  # another disk
        return False
    return True
