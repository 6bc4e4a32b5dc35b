"""Where files lie: any storage that Airflow knows."""

import os
import re
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal, NamedTuple
from urllib.parse import unquote

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.outside import without_connection
from airflow_provider_kimi.rendering import known

#: Errors that a retry cannot fix. Any other `OSError` may pass, and is left to `retries`.
LASTING_FAULTS = (NotADirectoryError, IsADirectoryError, PermissionError, ValueError, ImportError)

_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")

#: A name and a password before the host of a URI, or what of them stands before the first slash of the password. In the
#: name of an access point of S3 stand colons too.
_SECRET = re.compile(r"[\w+.-]+://([^/]*:[^/]*@|(?!arn:)[^/@\[]*:[^/@]*[^/@\d])")

#: Characters of a path that Airflow drops, and halves of a character.
_DROPPED = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

#: Protocols that are one storage under several names.
_SAME_STORAGE = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


class Location(NamedTuple):
    """A place that can be compared with others.

    :param storage: Protocol and bucket; `file` for a disk.
    :param parts: The names on the way to it.
    """

    storage: str
    parts: tuple[str, ...]


def check_location(name: str, location: Any) -> None:
    """Refuse a location with a password in it, without repeating it; a template is left alone.

    :param name: Of the parameter.
    :raises KimiInputError: It has one.
    """
    uri = as_uri(location)
    if isinstance(uri, str) and known(uri) is not None and _SECRET.match(uri):
        raise KimiInputError(
            f"{name} holds a name and a password before its host, which would stand in logs, XComs and manifests. "
            "Nothing was opened. Put them into an Airflow connection, and write its id instead: "
            "s3://CONNECTION@bucket/path. Change the password, if it was shown anywhere."
        )


def check_directory_name(name: str, uri: Any, now: str) -> None:
    """Refuse what names no directory, and characters of which Airflow's paths drop some.

    :param name: Of the parameter.
    :param now: What is true at this time.
    :raises KimiInputError: It is no text or empty, or has such a character.
    """
    if not isinstance(uri, str) or uri.strip() in ("", "None"):  # either would lie in the worker's own directory
        raise KimiInputError(
            f"{name} is {uri!r}; it must be the URI of a directory. {now} Check the template of {name}."
        )
    if found := _DROPPED.search(uri):
        raise KimiInputError(
            f"{name} is {uri!r}, with the character {found[0]!r}, which no name of a directory can keep. {now} Check "
            "its template for a line break."
        )


def located(uri: str) -> str:
    """Write a location as a URI.

    A bare path is taken literally, but for a `~` at its beginning. A path in a `file://` URI with %-escapes is decoded,
    unless it exists as it stands.

    :raises ValueError: A `file:` URI names a host, or a relative path; or nobody has that home directory.
    """
    if uri.startswith("file:"):
        return f"file://{_decoded(_path_in(uri))}"
    if "://" in uri:
        return uri
    try:
        return f"file://{Path(uri).expanduser().absolute()}"
    except RuntimeError:
        raise ValueError(f"{uri!r} names a home directory that is not known here; write the path out") from None


def _path_in(uri: str) -> str:
    rest = uri.removeprefix("file:")
    host, slash, path = rest.removeprefix("//").partition("/") if rest.startswith("//") else ("", "", rest)
    if host not in ("", "localhost"):
        raise ValueError(f"{uri!r} names {host!r} as a host; a path on this machine is written file:///path")
    if not (slash + path).startswith("/"):
        raise ValueError(f"{uri!r} has no absolute path; write file:///path, or a bare path")
    return slash + path


def _decoded(path: str) -> str:
    """Decode the %-escapes of a path, unless the names that hold them exist as they stand."""
    parts = path.split("/")
    escaped = [number for number, part in enumerate(parts, 1) if _ESCAPED.search(part)]
    if not escaped or os.path.lexists("/".join(parts[: escaped[-1]])):
        return path
    return unquote(path)


def location_of(uri: str) -> Location:
    """Resolve a location, with the symbolic links of a disk, so that it can be compared.

    The connection in a URI is left out, because several may reach one bucket.
    """
    scheme, _, rest = without_connection(located(uri)).partition("://")
    if scheme == "file":
        return Location(scheme, tuple(filter(None, os.path.realpath(rest).split("/"))))
    bucket, _, key = rest.partition("/")
    storage = f"{_SAME_STORAGE.get(scheme, scheme)}://{bucket}"
    return Location(storage, tuple(filter(None, key.split("/"))))


def storage_remedy(uri: str, error: Exception) -> str:
    """Say what to do if a storage cannot be read or written."""
    if isinstance(error, OSError) or "://" not in uri or uri.startswith("file:"):
        return "Check the path and its access."
    if uri.startswith("s3"):
        return "If S3 support is missing here: pip install 'airflow-provider-kimi[s3]'."
    return "Check the path; the Airflow provider of this storage must be installed."


def as_uri(value: Any) -> Any:
    """Write a path object, local or on object storage, as text; return other values unchanged."""
    return str(value) if isinstance(value, PurePath) or hasattr(value, "protocol") else value


def open_binary(path: Any, mode: Literal["rb", "wb"], block_bytes: int | None = None) -> BinaryIO:
    """Open an object storage path, whose own signature is untyped.

    :param block_bytes: Bytes of each write to the storage; None leaves it to the storage.
    """
    opened: BinaryIO = path.open(mode, **({} if block_bytes is None else {"block_size": block_bytes}))
    return opened
