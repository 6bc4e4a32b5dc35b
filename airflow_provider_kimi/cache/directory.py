"""The directory of a cache: each file appears whole under its own name, and is never changed."""

import os
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from errno import ESTALE
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import IO

from airflow_provider_kimi.cache.segments import staged_name
from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import CHUNK_BYTES, MAX_LINE_BYTES, read_blocks
from airflow_provider_kimi.files.locations import (
    LASTING_FAULTS,
    check_directory_name,
    check_location,
    located,
    open_binary,
    storage_remedy,
)

#: Bytes of each write to object storage. S3 holds two parts of an upload in memory, of 50 MB each by default.
_BLOCK_BYTES = 8 << 20

#: Files of object storage that are copied at once: most are small, and each takes some 30 ms to come.
_COPIES = 4

#: Whether the system says what a process may that has become another user.
_CAN_ASK_EFFECTIVE = os.access in os.supports_effective_ids

_NOT_SENT = "Nothing was sent."
_NOT_KEPT = "Answers of this task are not kept in it; what is landed is untouched."
_STILL_GOOD = "What is left in it can be used."


class CacheDirectory:
    """The files of a cache, on any storage of Airflow.

    :param uri: URI of the directory, which is created if it does not exist.
    """

    def __init__(self, uri: str) -> None:
        check_directory_name("cache", uri, _NOT_SENT)
        check_location("cache", uri)
        self.uri = uri
        with self._usable("used", _NOT_SENT):
            self._path = object_storage_path(located(uri))
            _ = self._path.fs  # Airflow 2.11 refuses an unknown storage only here
            self._is_local = self._path.protocol == "file"
            if self._is_local:  # on object storage it would create a bucket
                self._path.mkdir(parents=True, exist_ok=True)
                if not os.access(self._path.path, os.R_OK | os.W_OK | os.X_OK, effective_ids=_CAN_ASK_EFFECTIVE):
                    raise PermissionError(f"no access to {self._path.path}")

    @contextmanager
    def _usable(self, verb: str, now: str) -> Iterator[None]:
        """Refuse a directory if a retry cannot help, as without a bucket."""
        try:
            yield
        except (FileExistsError, FileNotFoundError, *LASTING_FAULTS) as error:
            raise self._refusal(verb, now, error) from None

    def _refusal(self, verb: str, now: str, error: Exception) -> KimiInputError:
        fault = f"{type(error).__name__}: {error}"
        return KimiInputError(f"Cache {self.uri!r} cannot be {verb} ({fault}). {now} {storage_remedy(self.uri, error)}")

    def sizes(self) -> dict[str, int]:
        """The bytes of each file that is there now, by name."""
        with self._usable("listed", _NOT_SENT):
            return dict(self._inside())

    def _inside(self) -> Iterator[tuple[str, int]]:
        if self._is_local:
            for entry in os.scandir(self._path.path):
                with suppress(FileNotFoundError):  # purged meanwhile
                    yield entry.name, entry.stat().st_size
            return
        self._path.fs.invalidate_cache()
        try:
            listed = self._path.fs.ls(self._path.path, detail=True)
        except FileNotFoundError as error:
            if self._path.path not in str(error):  # it is the bucket that does not exist
                raise
            return  # object storage has no empty directories
        yield from ((entry["name"].rpartition("/")[2], entry["size"] or 0) for entry in listed)

    def contents(self, names: Iterable[str]) -> Generator[Iterator[bytes], None, None]:
        """Yield each file in order, in blocks of whole lines. The first block raises FileNotFoundError if it is gone.

        A file of object storage is copied here first, so that it is read as it was even if it is purged meanwhile.
        """
        if self._is_local:
            yield from (self._blocks(partial(Path, self._path.path, name)) for name in names)
            return
        at_once = _COPIES if self._path.fs.async_impl else 1
        with TemporaryDirectory(prefix="kimi-cache-") as folder, ThreadPoolExecutor(at_once) as pool:
            begun: deque[Future[Path]] = deque()
            for name in names:
                begun.append(pool.submit(self._copy, name, Path(folder, name)))
                if len(begun) == at_once:
                    yield self._blocks(begun.popleft().result, is_copy=True)
            while begun:
                yield self._blocks(begun.popleft().result, is_copy=True)

    def _copy(self, name: str, copy: Path) -> Path:
        path = self._path / name
        path.fs.get_file(path.path, str(copy))
        return copy

    def _blocks(self, place: Callable[[], Path], *, is_copy: bool = False) -> Iterator[bytes]:
        try:
            path = place()
            with path.open("rb", buffering=0) as content:
                yield from read_blocks(content, MAX_LINE_BYTES)
            if is_copy:
                path.unlink()
        except LASTING_FAULTS as error:
            raise self._refusal("read", _NOT_SENT, error) from None
        except OSError as error:
            if error.errno == ESTALE:  # a network disk on which another machine has removed it
                raise FileNotFoundError(error.filename) from None
            raise

    def put(self, name: str, source: IO[bytes], now: datetime) -> None:
        """Write a file, or replace it, in one step."""
        with self._usable("written", _NOT_KEPT):
            if self._is_local:
                self._put_on_disk(name, source, now)
                return
            with open_binary(self._path / name, "wb", _BLOCK_BYTES) as written:
                copyfileobj(source, written, CHUNK_BYTES)

    def _put_on_disk(self, name: str, source: IO[bytes], now: datetime) -> None:
        staged = Path(self._path.path, staged_name(now, secrets.token_hex(8)))
        try:
            with staged.open("wb") as written:
                copyfileobj(source, written, CHUNK_BYTES)
            staged.replace(Path(self._path.path, name))
        except BaseException:  # such as a full disk
            with suppress(OSError):
                staged.unlink()
            raise

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is gone is not an error."""
        with self._usable("purged", _STILL_GOOD):
            for name in names:
                with suppress(FileNotFoundError):
                    path = self._path / name
                    path.fs.rm_file(path.path)
