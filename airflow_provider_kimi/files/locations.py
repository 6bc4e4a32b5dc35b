"""Where files lie: any storage that Airflow knows."""

from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal

#: Errors that a retry cannot fix. Any other `OSError` may pass, and is left to `retries`.
LASTING_FAULTS = (NotADirectoryError, IsADirectoryError, PermissionError, ValueError, ImportError)


def located(uri: str) -> str:
    """Write a bare path as a `file://` URI."""
    return uri if "://" in uri else f"file://{Path(uri).absolute()}"


def storage_remedy(uri: str, error: Exception) -> str:
    """Say what to do if a storage cannot be read or written."""
    if isinstance(error, OSError) or located(uri).startswith("file://"):
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
