"""Answers of chat calls: kept beside the result as they come, found again by later tries, given to their shards."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.files.lines import lines_of
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.realtime import RealtimeLine, read_line
from airflow_provider_kimi.records.tags import digest_of
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.shards import batches_by_shard
from airflow_provider_kimi.results.staging import REALTIME_NAME, name_of

#: Bytes of a part at which another one begins: a part is written again as a whole with each answer.
PART_BYTES = 1 << 18


@dataclass(frozen=True)
class RealtimeFiles:
    """The answers to the rows of one shard, and the refusals, on this machine.

    :param ids: The rows that need not be asked again: they are answered, or the platform refuses them.
    :param digests: Of the lines. Two that differ were both paid, by two tries at once.
    """

    output: Path
    error: Path
    ids: set[str] = field(default_factory=set)
    digests: set[bytes] = field(default_factory=set)


@dataclass(frozen=True)
class Realtime:
    """The answers of chat calls to the rows of one result.

    :param of_shards: By the id of the first batch of the shard.
    :param whole: All of them in one file; None if there are none.
    :param parts: Names of the files beside the result that a landing makes superfluous.
    """

    of_shards: Mapping[str, RealtimeFiles] = field(default_factory=dict)
    whole: Path | None = None
    parts: Sequence[str] = ()


NO_REALTIME = Realtime()


def begin_of_parts(batches: Sequence[Batch]) -> str:
    """How the names of all parts of a work begin; another run's work, and work that is paid afresh, has another."""
    return f".kimi-chat-{digest_of(batches[0].id).removeprefix('sha256:')[:16]}-"


class AnswerParts:
    """Keeps lines beside the result; what is written is there whatever happens to the task.

    :param begin: How the names of the parts begin.
    """

    def __init__(self, directory: OutputDirectory, begin: str) -> None:
        self._directory = directory
        self._begin = begin
        self._name = self._new_name()
        self._content = bytearray()

    def can_be_found(self) -> bool:
        """Whether the directory lists what is written there, without which no answer would be landed, or be kept."""
        self.write([])
        if self._name in self._directory.names_beginning(self._begin):
            return True
        self._directory.remove([self._name])
        return False

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, with all that the part has already, since object storage cannot append."""
        self._content += b"".join(lines)
        self._directory.write(self._name, bytes(self._content))
        if len(self._content) >= PART_BYTES:
            self._name, self._content = self._new_name(), bytearray()

    def _new_name(self) -> str:
        return f"{self._begin}{secrets.token_hex(8)}.jsonl"


def read_realtime(
    directory: OutputDirectory, earlier: Manifest | None, batches: Sequence[Batch], folder: Path
) -> Realtime:
    """Find the answers of chat calls to the rows of these batches.

    :param earlier: The result of these batches that the directory holds; None if it holds none.
    :param folder: For files on this machine; it is created.
    """
    if not batches:
        return NO_REALTIME
    left = directory.names_beginning(begin_of_parts(batches))
    names = [*_listed(earlier), *filter(_is_whole, left)]
    shards = [of_shard[0].id for of_shard in batches_by_shard(batches)]
    files = {first: RealtimeFiles(folder / f"{n}.output", folder / f"{n}.error") for n, first in enumerate(shards)}
    whole = folder / REALTIME_NAME
    folder.mkdir()
    for line, found in _lines(directory, names):
        shard = files.get(found.realtime.batch_id)
        digest = sha256(line).digest()
        if shard is not None and digest not in shard.digests:
            shard.digests.add(digest)
            shard.ids.add(found.custom_id)
            _append(line, whole, shard.error if found.is_refusal else shard.output)
    asked = {first: shard for first, shard in files.items() if shard.ids}
    for shard in asked.values():
        _append(b"", shard.output, shard.error)  # so that both exist
    return Realtime(asked, whole if asked else None, left)


def _listed(earlier: Manifest | None) -> Sequence[str]:
    return [name_of(earlier.realtime_file)] if earlier and earlier.realtime_file else []


def _is_whole(part: str) -> bool:
    """Whether a part was written to its end; a kill may leave another one."""
    return part.endswith(".jsonl")


def _lines(directory: OutputDirectory, names: Sequence[str]) -> Iterator[tuple[bytes, RealtimeLine]]:
    """Every whole line of these files."""
    for line in (line for name in names for line in lines_of(directory.read(name))):
        if (found := read_line(line)) is not None:
            yield line, found


def _append(line: bytes, *paths: Path) -> None:
    for path in paths:
        with path.open("ab") as target:
            target.write(line + b"\n" if line else b"")


def without_parts(directory: OutputDirectory, names: Sequence[str]) -> list[str]:
    """Remove files once their lines are in the result; return the names of those that could not be."""
    left = []
    for name in names:
        try:
            directory.remove([name])
        except Exception:  # the result is whole without that, and a later landing removes it
            left.append(name)
    return left
