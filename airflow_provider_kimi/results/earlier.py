"""The earlier result that new answers are merged into, and its files on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Any

from msgspec import UNSET

from airflow_provider_kimi.compat import object_storage_path
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.fields import said
from airflow_provider_kimi.files.lines import CHUNK_BYTES, digest_of_file
from airflow_provider_kimi.files.locations import (
    LASTING_FAULTS,
    as_uri,
    located,
    location_of,
    open_binary,
    storage_remedy,
)
from airflow_provider_kimi.records.manifest import FILE_FIELDS, Manifest
from airflow_provider_kimi.results.staging import MANIFEST_NAME, name_of

#: What this version of the provider can read.
_VERSION = Manifest(batch_ids=[]).schema_version

#: What the errors of this module say is true now.
NOTHING_CHANGED = "Nothing was changed or landed; the results stay on the platform."


@dataclass(frozen=True)
class EarlierFiles:
    """The files of an earlier result on this machine, as `FILE_FIELDS` names them; None for one that is not there."""

    results: Path | None = None
    output: Path | None = None
    error: Path | None = None
    dead_letters: Path | None = None
    realtime: Path | None = None
    saved: Path | None = None


@dataclass(frozen=True)
class Earlier:
    """An earlier result.

    :param uri: Of its directory.
    :param content: Of its `manifest.json`.
    :param is_output: Whether the new result is to take its place.
    """

    uri: str
    content: bytes
    manifest: Manifest
    is_output: bool

    def new_among(self, batch_ids: Sequence[str]) -> list[str]:
        """The batches that are not in it yet.

        :raises KimiInputError: There is none, and the result is to be another one.
        """
        new = [batch_id for batch_id in dict.fromkeys(batch_ids) if batch_id not in self.manifest.batch_ids]
        if new or self.is_output:
            return new
        raise refused(
            f"The result in {self.uri} already has these batches: {', '.join(batch_ids)}.",
            "Pass as merge_with the result that they are to be merged into, as it was before.",
        )

    def check_format(self, output_format: str) -> None:
        """Refuse to write rows in another format than they are in, which may not say what a value was."""
        name = name_of(self.manifest.results_file or "")
        if not name.endswith(f".{output_format}"):
            raise refused(
                f"merge_with names {name or 'no results file'} in {self.uri}, and output_format is {output_format!r}.",
                "Set output_format to that of the earlier result; the merged one has the same.",
            )

    def fetch(self, folder: Path) -> EarlierFiles:
        """Copy its files.

        :raises KimiInputError: One is gone, or the dead letters were edited where they lie.
        :raises KimiBatchError: Another landing has replaced it meanwhile.
        """
        folder.mkdir()
        paths = [self.copied(field, folder) for field in FILE_FIELDS if field != "report_file"]
        if _manifest_bytes(self.uri) != self.content:
            raise KimiBatchError(
                f"The result in {self.uri} was replaced while it was read. {NOTHING_CHANGED} Clear this task: nothing "
                "is paid again.",
                retryable=True,
            )
        files = EarlierFiles(*paths)
        if files.dead_letters and self.manifest.dead_letter_digest not in (UNSET, digest_of_file(files.dead_letters)):
            raise refused(
                f"The dead letters in {self.uri} are not as they were landed, so nothing says what their rows asked.",
                "Clear the task that landed them, which writes them again, then this one. To edit letters, copy them.",
            )
        return files

    def copied(self, field: str, folder: Path) -> Path | None:
        """Copy the file of a field; None if it has none."""
        uri: str | None = self.manifest.files.get(field)
        if uri is None:
            return None
        source = object_storage_path(located(self.uri)) / name_of(uri)
        target = (folder / field).with_suffix(Path(name_of(uri)).suffix)
        try:
            source.fs.invalidate_cache()
            with open_binary(source, "rb") as content, target.open("wb") as copy:
                copyfileobj(content, copy, CHUNK_BYTES)
        except FileNotFoundError:
            raise refused(
                f"{name_of(uri)} is gone from {self.uri}, whose manifest names it.",
                "Put it back, or land the earlier batches again if their files are still on the platform.",
            ) from None
        return target


def refused(what: str, remedy: str) -> KimiInputError:
    """An error that comes before anything is changed."""
    return KimiInputError(f"{what} {NOTHING_CHANGED} {remedy}")


#: What to pass, by the parameter that says which result is meant.
_REMEDIES = {
    "merge_with": "Pass the output of the task whose dead letters were asked again, once it has landed.",
    "compare_with": "Pass the output of a task that has landed.",
}


def find_earlier(meant: Any, output: str, parameter: str = "merge_with") -> Earlier:
    """Read the manifest of the result that is meant.

    :param meant: URI of its directory or of its manifest, or the manifest that its task has returned.
    :param output: URI of the directory of the new result.
    :param parameter: What messages call it.
    :raises KimiInputError: There is no result that this version can read.
    """
    given = as_read(meant)
    uri = _directory_of(given, parameter)
    content = _manifest_bytes(uri, parameter)
    manifest = Manifest.of_json(content)
    if manifest is None:
        what = "holds a manifest.json of something else" if content else "holds no result"
        raise refused(f"{parameter} is {uri!r}, which {what}.", _REMEDIES[parameter])
    if manifest.schema_version > _VERSION or "total" not in manifest.counts:
        raise refused(
            f"The manifest in {uri} does not say what its result has in a way that this version of the provider can "
            f"read (schema_version {manifest.schema_version}).",
            "Land with the version that wrote it, or a later one.",
        )
    if isinstance(given, Mapping) and not {*given.get("batch_ids", ())} <= {*manifest.batch_ids}:
        raise refused(
            f"{parameter} is a manifest that {uri} no longer holds: the result there is of other batches.",
            "Pass the URI of the result that is meant.",
        )
    return Earlier(uri, content, manifest, is_output=location_of(uri) == location_of(output))


def as_read(meant: Any) -> Any:
    """The mapping that a rendered text says, or the location of a path; any other value as it is."""
    return said(as_uri(meant)) if str(meant).lstrip().startswith("{") else as_uri(meant)


def _directory_of(given: Any, parameter: str) -> str:
    if isinstance(given, Mapping):
        files = [uri for field in FILE_FIELDS if isinstance(uri := given.get(field), str)]
        if not files:
            raise refused(f"{parameter} is a mapping that names no files.", "Pass a manifest, or the URI of a result.")
        return files[0].rpartition("/")[0]
    if not isinstance(given, str) or not given.strip():
        raise refused(
            f"{parameter} is {given!r:.200}; it must be the URI of a directory, of a manifest.json, or a manifest.",
            "Check its template. Leave it out to land without an earlier result.",
        )
    return given.rstrip("/").removesuffix(f"/{MANIFEST_NAME}")


def _manifest_bytes(uri: str, parameter: str = "merge_with") -> bytes:
    """The manifest that is there now; empty if there is none."""
    try:
        path = object_storage_path(located(uri)) / MANIFEST_NAME
        path.fs.invalidate_cache()
        return bytes(path.fs.cat_file(path.path))
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except LASTING_FAULTS as error:
        raise refused(
            f"{parameter} is {uri!r}, whose manifest.json cannot be read ({type(error).__name__}: {error}).",
            storage_remedy(uri, error),
        ) from None
