"""The images and videos that the rows of a table name, fetched while the rows are read."""

from collections.abc import Iterator, Mapping, Sequence
from errno import ENAMETOOLONG
from pathlib import Path
from typing import Any

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES, MAX_FILES
from airflow_provider_kimi.choices import MediaTransport
from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.files.locations import LASTING_FAULTS, as_uri, located, open_binary, storage_remedy
from airflow_provider_kimi.requests.media import (
    SIGNATURE_BYTES,
    MediaKind,
    data_url,
    media_part,
    media_type,
    placeholder,
)
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.validation import media_url_problem
from airflow_provider_kimi.requests.values import native


class MediaShelf:
    """Turns the media columns of a row into parts of a message.

    :param columns: The kind of each column that holds media.
    :param transport: `base64` puts them into the request; `upload` keeps each different one once, in `folder`, for an
        upload after the whole input is checked.
    """

    def __init__(self, columns: Mapping[str, MediaKind], transport: MediaTransport, folder: Path) -> None:
        self.files: dict[str, tuple[MediaKind, Path]] = {}
        self._columns = columns
        self._transport = transport
        self._folder = folder

    def forget_after(self, count: int) -> None:
        """Drop the files after the first `count`, because their row is not sent."""
        while len(self.files) > count:
            _, (_, path) = self.files.popitem()
            path.unlink()

    def parts(self, row: object) -> list[dict[str, Any]]:
        """Return the media of one row, in the order of the columns; refuse what the platform would refuse."""
        if not isinstance(row, Mapping):
            raise RowProblem(f"is a {type(row).__name__}, but media are read from the columns of a table row")
        found = []
        for column, kind in self._columns.items():
            if column not in row:
                raise RowProblem(f"has no media column {column!r}")
            for value in _each(row[column]):
                try:
                    found.append(media_part(kind, self._url(kind, value)))
                except RowProblem as problem:
                    article = "an" if kind == "image" else "a"
                    raise RowProblem(f"has {article} {kind} in column {column!r} that {problem}") from None
        return found

    def _url(self, kind: MediaKind, value: object) -> str:
        if isinstance(value, str) and value.startswith(("ms://", "data:")):
            return value
        if isinstance(value, Mapping) and value.keys() & {"bytes", "path"}:  # the form of Hugging Face's data sets
            value = value.get("bytes") or value.get("path")
        content = bytes(value) if isinstance(value, bytes | bytearray | memoryview) else _content(as_uri(value))
        if not content:
            raise RowProblem("is empty (0 bytes)")
        if len(content) > MAX_FILE_BYTES:
            raise RowProblem(f"is over {MAX_FILE_BYTES:,} bytes")
        found = media_type(content[:SIGNATURE_BYTES])
        if found is None:
            raise RowProblem(
                "is of a format that Kimi does not accept (jpeg, png, gif, webp, bmp, heic; mp4, mov, ...)"
            )
        found_kind, mime = found
        if found_kind != kind:
            raise RowProblem(f"is {mime}; use {found_kind}_column for it")
        return data_url(mime, content) if self._transport == "base64" else self._kept(kind, content, mime)

    def _kept(self, kind: MediaKind, content: bytes, mime: str) -> str:
        name = placeholder(content)
        if name not in self.files:
            if len(self.files) == MAX_FILES:
                raise RowProblem(f"is over the {MAX_FILES} files that an account may keep; use media='base64'")
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{name}.{mime.rpartition('/')[2]}"
            path.write_bytes(content)
            self.files[name] = (kind, path)
        return f"ms://{name}"


def _each(value: object) -> Iterator[object]:
    value = native(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        yield from (part for part in value if part is not None and part != "")
    elif value is not None and value != "":
        yield value


def _content(value: object) -> bytes:
    if not isinstance(value, str):
        raise RowProblem(f"is a {type(value).__name__}; it may be a path, a URI or bytes")
    if "://" in value and value.lower().startswith("http"):
        raise RowProblem(str(media_url_problem(value)))
    try:
        with open_binary(object_storage_path(located(value)), "rb") as source:
            return source.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise RowProblem(f"does not exist ({located(value)[:200]})") from None
    except LASTING_FAULTS as error:
        raise RowProblem(f"cannot be opened ({type(error).__name__}); {storage_remedy(value, error)[:-1]}") from None
    except OSError as error:
        if error.errno != ENAMETOOLONG:
            raise
        raise RowProblem("is too long for a path; base64 text begins with data:image/png;base64, or alike") from None
