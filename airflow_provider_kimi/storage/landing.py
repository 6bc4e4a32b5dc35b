"""Result files on their way into the output directory: each appears whole, the manifest last."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_kimi.compat import object_storage_path, open_binary
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.storage.inputs import located

#: Without this file the directory is not a result.
MANIFEST_NAME = "manifest.json"


class OutputDirectory:
    """The directory that a result is landed in.

    :param uri: Where; created if absent. A result that is there already is replaced.
    """

    def __init__(self, uri: str) -> None:
        try:
            self._path = object_storage_path(located(uri))
            self._path.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise KimiInputError(
                f"Output {uri!r} cannot be written ({type(error).__name__}: {error}). The batches are not touched by "
                "this; their results stay on the platform. Check the path and this worker's access to it."
            ) from None

    def withdraw(self, *names: str) -> None:
        """Take the manifest away, so that the directory is no result while it changes, then the named files."""
        for name in (MANIFEST_NAME, *names):
            (self._path / name).unlink(missing_ok=True)

    def publish(self, source: Path, name: str) -> str:
        """Copy a finished local file in, under a name that readers only see once it is whole."""
        target = self._path / name
        if self._path.protocol != "file":
            with source.open("rb") as content, open_binary(target, "wb") as landed:
                shutil.copyfileobj(content, landed, 1 << 20)
            return str(target)
        hidden = self._path / f".{name}.part"
        with source.open("rb") as content, open_binary(hidden, "wb") as landed:
            shutil.copyfileobj(content, landed, 1 << 20)
        hidden.replace(target)
        return str(target)

    def publish_manifest(self, manifest: dict[str, Any], workshop: Path) -> None:
        """Make the directory a result."""
        path = workshop / MANIFEST_NAME
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        self.publish(path, MANIFEST_NAME)
