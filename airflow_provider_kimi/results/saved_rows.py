"""The rows of a result that were not sent, as they lie beside it, or in it since an earlier landing."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiResultError
from airflow_provider_kimi.files.line_ids import UNREADABLE
from airflow_provider_kimi.files.lines import digest_of_file, lines_at
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, is_name_of_saved, read_saved_line
from airflow_provider_kimi.records.shard_names import Part
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.staging import SAVED_NAME, name_of

_decode_skipped = msgspec.json.Decoder(SkippedRow).decode


@dataclass(frozen=True)
class SavedRows:
    """The rows that were not sent, on this machine.

    :param name: What the tags of the batches call the file.
    :param begins: Where the rows of each shard begin in it.
    :param twins: Numbers of the names whose outcomes other rows repeat, in order, each once.
    """

    name: str
    path: Path
    header: SavedHeader
    begins: Mapping[int, int]
    twins: array[int]

    def of_shard(self, shard: int, part: Part | None = None) -> Iterator[SavedRow | SkippedRow]:
        """The rows of one shard in the order of the input, each with its place among the requests that are sent.

        Rows that were left out are here too, if there is no batch to tell of them.

        :param part: Which rows of the shard are wanted; None for all. What is between two parts is of the latter.
        """
        if shard not in self.begins:
            return
        with self.path.open("rb") as source:
            source.seek(self.begins[shard])
            for line in source:
                row = _read(line)
                if row is None or row.shard != shard:
                    return
                if part is None:
                    yield row
                elif part.start <= row.position and (row.position < part.stop or part.stop == part.total):
                    yield msgspec.structs.replace(row, position=row.position - part.start)


def saved_name(named: str | None, batches: Sequence[Batch]) -> str | None:
    """The name of the saved file of a result; None if it has none.

    :param named: What the task says: a name, None for that in the tags of the batches, and empty for none.
    """
    if named is not None:
        return named or None
    return next((tags.saved for tags in map(Tags.of, batches) if is_name_of_saved(tags.saved)), None)


def fetch_saved(directory: OutputDirectory, name: str | None, path: Path) -> SavedRows | None:
    """Copy the rows that were not sent to this machine; None if the result has none.

    :param name: Of their file beside the result; once they are in the result, that is gone.
    :raises KimiResultError: They are in neither place.
    """
    if name is None:
        return None
    if not (directory.copy(name, path) and is_as_named(name, path)):
        manifest = directory.earlier
        landed = name_of(manifest.saved_file) if manifest and manifest.saved_file else ""
        if not landed or not directory.copy(landed, path) or not is_as_named(name, path):
            raise KimiResultError(
                f"The rows of this task that were not sent are in {name}, which is gone from {directory.uri} or not as "
                f"it was written, and the {SAVED_NAME} there is not of them. Nothing was landed; what the batches have "
                "answered stays on the platform, and nothing is lost of it. Put the file back and clear this task, or "
                "land the batches alone with KimiBatchResultsOperator."
            )
    return _indexed(name, path)


def is_as_named(name: str, path: Path) -> bool:
    """Whether a saved file has the content that its name tells."""
    digest = name.removesuffix(".jsonl").rpartition("-")[2]
    return bool(digest) and digest_of_file(path).removeprefix("sha256:").startswith(digest)


def _indexed(name: str, path: Path) -> SavedRows:
    header: SavedHeader | None = None
    begins: dict[int, int] = {}
    twins = array("q")
    for offset, line in lines_at(path):
        if (row := _read(line)) is not None:
            begins.setdefault(row.shard, offset)
            if isinstance(row, SavedRow) and row.twin is not None:
                twins.append(hash(row.twin))
        elif isinstance(found := read_saved_line(line), SavedHeader):
            header = header or found
    if header is None:
        raise KimiResultError(f"{name} is not as this provider writes such files. Nothing was landed. Put it back.")
    return SavedRows(name, path, header, begins, _each_once(twins))


def _read(line: bytes) -> SavedRow | SkippedRow | None:
    if isinstance(row := read_saved_line(line), SavedRow):
        return row
    with suppress(*UNREADABLE):
        return _decode_skipped(line)
    return None


def _each_once(numbers: array[int]) -> array[int]:
    once = array("q")
    for number in sorted(numbers):
        if not once or once[-1] != number:
            once.append(number)
    return once
