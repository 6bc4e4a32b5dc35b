"""The world of the protocol: a model of the platform as a value, and what is uncertain about it.

This is a model for exhaustive exploration, not a mock for unit tests. It has only what the protocol of
docs/paid-once.md can see: files, batches, a list that lags or lies, and creates whose answers are lost. Every call
takes no time and maps one platform to the next, so that a search can branch at it and meet a state again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from msgspec.structs import replace

from airflow_provider_kimi.api.models import Batch, BatchPage, RemoteFile
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiNoAnswerError

#: Unix seconds at which a schedule begins, and before which its run cannot have submitted anything.
START = 1_000_000

#: What the list of batches shows: all of them; all without metadata, or also without their input files; the first page
#: again and again (`after` is ignored) or as if it were everything, with newer batches of strangers in it; nothing;
#: nothing that is made from now on.
Shows = Literal["all", "no metadata", "ids only", "first page again", "first page only", "nothing", "old ones"]


class Pairs(dict[str, Any]):
    """Metadata that can be compared by a hash, as all of a state is."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


class Request(NamedTuple):
    """One call of the hook, or a pause."""

    name: str
    parameters: tuple[Any, ...]


class Fault(NamedTuple):
    """An answer that is an error: an HTTP status, or none where the connection drops."""

    status: int | None

    def error(self) -> KimiError:
        if self.status is None:
            return KimiNoAnswerError("The connection dropped.")
        return KimiApiError(f"The platform answered {self.status}.", status_code=self.status)


class Stored(NamedTuple):
    """A batch on the platform, which exists from its `created_at` on and is listed later."""

    batch: Batch
    listed_at: int

    @property
    def id(self) -> str:
        return self.batch.id


class Platform(NamedTuple):
    """All that outlives an attempt.

    :param uploads: How many files were ever uploaded.
    :param notes: What Airflow keeps for each task instance between its attempts.
    """

    batches: tuple[Stored, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    uploads: int = 0
    notes: Pairs = Pairs()

    def known(self, batch_id: str, now: int) -> Batch | None:
        """The batch of an id, if it exists by now."""
        batches = (stored.batch for stored in self.batches if stored.id == batch_id)
        return next((batch for batch in batches if (batch.created_at or 0) <= now), None)

    @property
    def live(self) -> list[Batch]:
        """Batches that run, also those that a lost create will still make."""
        return [stored.batch for stored in self.batches if not stored.batch.is_terminal]


@dataclass(frozen=True)
class World:
    """What holds throughout a schedule, and how much may go wrong in it.

    :param lags: Seconds until a new batch is listed; each create takes one of them.
    :param older: Status of a batch that a first attempt left; the schedule then begins with attempt 2. None for none.
    :param siblings: Instances of a mapped task with an equal input; 1 is a task that is not mapped.
    :param starts: When the second sibling may start, in seconds.
    :param delays: When the next attempt may start after one that failed, in seconds.
    :param stalls: How long an attempt may stand still while Airflow takes it for dead and starts the next one.
    :param late: When a create may be carried out whose answer was lost, in seconds.
    :param attempts: Attempts of one task instance at most.
    :param kills: Attempts that may be killed.
    :param faults: Creates whose answers may be lost.
    :param refusals: Creates that may be refused, after one was lost.
    :param zombies: Attempts that Airflow may take for dead.
    :param clears: Attempts that may be cleared after they succeeded.
    :param remembers: Whether Airflow keeps ids between attempts (its task state store).
    :param halves: Attempts that halve the shard, as instance and number, unless they find a batch of it.
    :param ids_fall: Whether the id of a newer batch is the smaller one.
    """

    lags: tuple[int, ...] = (0,)
    shows: Shows = "all"
    older: str | None = None
    reuse: Literal["auto", "never"] = "auto"
    siblings: int = 1
    starts: tuple[int, ...] = (0,)
    delays: tuple[int, ...] = (0,)
    stalls: tuple[int, ...] = (0,)
    late: tuple[int, ...] = (0, 20, 300)
    attempts: int = 3
    kills: int = 1
    faults: int = 1
    refusals: int = 0
    zombies: int = 0
    clears: int = 0
    remembers: bool = False
    halves: tuple[tuple[int, int], ...] = ()
    ids_fall: bool = False

    def answer(self, platform: Platform, now: int, request: Request) -> tuple[Any, Platform]:
        """What the platform answers to a call that cannot fail, and what it is then."""
        calls: Mapping[str, Callable[..., tuple[Any, Platform]]] = {
            "list_files": lambda: (platform.files, platform),
            "list_batches": lambda after, limit: (self._page(platform, now, after, limit), platform),
            "get_batch": lambda batch_id: (platform.known(batch_id, now) or Fault(404), platform),
            "cancel_batch": lambda batch_id: _cancelled(platform, now, batch_id),
            "delete_file": lambda file_id: (True, platform._replace(files=_without(platform.files, file_id))),
            "upload_file": lambda name, size: _uploaded(platform, now, name, size),
            "recall": lambda instance: (platform.notes.get(instance), platform),
            "note": lambda instance, note: (None, platform._replace(notes=Pairs({**platform.notes, instance: note}))),
        }
        return calls[request.name](*request.parameters)

    def made(self, platform: Platform, at: int, lag: int, file_id: str, metadata: Pairs) -> tuple[Batch, Platform]:
        """Carry out a create at a time, and list its batch that much later."""
        number = len(platform.batches)
        batch = Batch(
            id=f"batch_{50 - number if self.ids_fall else 50 + number}",
            status="in_progress",
            input_file_id=file_id,
            created_at=at,
            metadata=metadata,
        )
        return batch, platform._replace(batches=(*platform.batches, Stored(batch, at + lag)))

    def _page(self, platform: Platform, now: int, after: str | None, limit: int) -> BatchPage:
        listed = sorted(self._listed(platform, now), key=lambda batch: batch.created_at or 0, reverse=True)
        if self.shows.startswith("first page"):
            return _page_of([*STRANGERS, *listed][:limit], self.shows == "first page again")
        begin = next((place for place, batch in enumerate(listed, 1) if batch.id == after), 0)
        return _page_of(listed[begin : begin + limit], len(listed) > begin + limit)

    def _listed(self, platform: Platform, now: int) -> Iterator[Batch]:
        for batch in (stored.batch for stored in platform.batches if stored.listed_at <= now):
            if self.shows in ("no metadata", "ids only"):
                yield replace(batch, metadata=None, **({"input_file_id": None} if self.shows == "ids only" else {}))
            elif self.shows != "nothing" and (self.shows != "old ones" or (batch.created_at or 0) < START):
                yield batch


#: Batches of others, newer than any of ours.
STRANGERS = [
    Batch(id=f"stranger_{number}", status="completed", created_at=START * 2, metadata=Pairs(of="others"))
    for number in range(120)
]


def _page_of(batches: list[Batch], has_more: bool) -> BatchPage:
    return BatchPage(cast(list[Batch], tuple(batches)), has_more)


def _without(files: tuple[RemoteFile, ...], file_id: str) -> tuple[RemoteFile, ...]:
    return tuple(file for file in files if file.id != file_id)


def _uploaded(platform: Platform, now: int, name: str, size: int) -> tuple[RemoteFile, Platform]:
    file = RemoteFile(id=f"file_{platform.uploads}", bytes=size, created_at=now, filename=name)
    return file, platform._replace(files=(*platform.files, file), uploads=platform.uploads + 1)


def _cancelled(platform: Platform, now: int, batch_id: str) -> tuple[Any, Platform]:
    batch = platform.known(batch_id, now)
    if batch is None or not batch.is_cancellable:
        return Fault(404 if batch is None else 400), platform
    ended = replace(batch, status="cancelled")
    batches = (stored._replace(batch=ended) if stored.id == batch_id else stored for stored in platform.batches)
    return ended, platform._replace(batches=tuple(batches))
