"""The switch from the result that a directory holds to a new one. The manifest is the switch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.staging import (
    MANIFEST_NAME,
    former_names,
    is_left_by,
    name_of,
    names_of,
    placed,
    staged_files,
    staged_name,
)

#: How often files are put again that a landing has overwritten before it saw the manifest of this one.
_PUTS = 3

#: How long a landing waits if another one has staged files too, which may be about to write its manifest.
_RACE_SECONDS = 2.0


#: Pauses between looks at a manifest that is not there, or is one of before: a storage may show what is no longer so.
_LOOK_PAUSES = (0.5, 1.0, 2.0)


class OvertakenError(KimiBatchError):
    """Another task has landed in the directory meanwhile. Its result stands, and nothing of this one."""


@dataclass
class Switch:
    """Replaces the result of a directory. At any moment its manifest names whole files that belong together.

    The new files are staged beside the old ones. A manifest that names the staged files is the switch. Then they get
    their usual names, and a last manifest says so. A landing that finds a manifest which it has neither seen nor
    written stops, because another one has switched.

    :param landing: Names the landing, in 16 hexadecimal digits.
    :param seen: The manifest that was there when the landing began; empty if there was none.
    :param sleep: Waits some seconds.
    :param unremoved: Names of files that could not be removed after the switch. The result is whole without that, and a
        later landing removes them.
    """

    directory: OutputDirectory
    landing: str
    seen: bytes
    sleep: Callable[[float], None]
    unremoved: list[str] = field(default_factory=list)
    _versions: dict[str, str] = field(default_factory=dict)
    _former: set[bytes] = field(default_factory=set)

    def steps(
        self,
        files: Mapping[str, Sequence[Path]],
        described: Callable[[Mapping[str, str]], Manifest],
        *,
        with_digests: bool = False,
    ) -> Iterator[Manifest | None]:
        """Switch step by step; the last step yields the new manifest.

        :param files: The finished local files of each name.
        :param described: Makes the manifest from the URI of each name.
        :param with_digests: Whether `OutputDirectory.is_as_published` is to be asked later.
        :raises OvertakenError: Another landing has switched.
        """
        left = self.directory.staged_names()
        former = names_of(Manifest.of_json(self.seen)) - {*files}
        try:
            uris = {}
            for name, sources in files.items():
                uris[name] = self.directory.stage(self.landing, name, sources, with_digest=with_digests)
                yield None
            self._check_staged(map(name_of, uris.values()))
            self._check()
        except BaseException:
            self._forget(files)
            raise
        manifest = replace(described(uris), former_files=sorted(former))
        try:
            self._write(manifest)
        except BaseException:
            with suppress(OSError, KimiError):  # what cannot be read may have been written
                if self.directory.manifest_bytes() == self.seen:
                    self._forget(files)
            raise
        yield None
        if {*self.directory.staged_names()} - {*map(name_of, uris.values())}:
            self.sleep(_RACE_SECONDS)  # another landing may have looked at the manifest before this one wrote it
        yield from self.settled(manifest, left)

    def clear_left(self, begin: str) -> None:
        """Remove what earlier landings have staged whose names begin so, and that no manifest names.

        They are of the same task, and have ended. One that is not remembered here is removed by the next switch.
        """
        named = staged_files(found) if (found := Manifest.of_json(self.seen)) else ()
        self._clear(name for name in self.directory.staged_names() if is_left_by(name, begin) and name not in named)

    def _check_staged(self, names: Iterable[str]) -> None:
        if gone := [name for name in names if not self.directory.has(name)]:
            raise OvertakenError(
                f"Files that this task has written into {self.directory.uri} are gone ({gone[0]}), as another attempt "
                "of it has begun meanwhile. Nothing was landed; the results stay on the platform. Clear this task to "
                "land again: nothing is paid again."
            )

    def settled(self, manifest: Manifest, left: Iterable[str] = ()) -> Iterator[Manifest | None]:
        """Give the files of a manifest their usual names, step by step; the last step yields the manifest of these.

        :param left: Names of files that killed landings have staged.
        :raises OvertakenError: Another landing has switched.
        """
        staged = staged_files(manifest)
        try:
            for source, name in staged.items():
                self._check()
                self._versions[name] = self.directory.put(source, name)
                yield None
            self._check()
            self.unremoved += (kept := self._clear(former_names(manifest)))
            last = placed(manifest, kept)  # names only those that are left
            yield None
            self._check()
            self._write(last)
            yield None
            self._put_again(staged)
        except OvertakenError:
            self._clear(staged)
            raise
        self.unremoved += self._clear([*staged, *left])
        yield last

    def _clear(self, names: Iterable[str]) -> list[str]:
        """Remove files, and return the names of those that could not be: the storage may answer with any error."""
        kept = []
        for name in names:
            try:
                self.directory.remove([name])
            except Exception:
                kept.append(name)
        return kept

    def _put_again(self, staged: Mapping[str, str]) -> None:
        """Put files again that another landing has overwritten, which stops once it looks at the manifest."""
        for _ in range(_PUTS):
            self._check()
            lost = [source for source, name in staged.items() if self.directory.version(name) != self._versions[name]]
            if not lost:
                return
            for source in lost:
                self._versions[staged[source]] = self.directory.put(source, staged[source])

    def _check(self) -> None:
        """Stop where another one has switched. Only a manifest that is neither known nor empty says so."""
        for pause in (*_LOOK_PAUSES, None):
            found = self.directory.manifest_bytes()
            if found == self.seen:
                return
            if (found and found not in self._former) or pause is None:
                break
            self.sleep(pause)
        if not found or found in self._former:
            raise KimiBatchError(
                f"The manifest in {self.directory.uri} cannot be read as it was written: it was removed or put back, "
                "or the storage does not show it. No file that it may name was removed, and the results of this task "
                "stay on the platform. Clear this task: nothing is paid again.",
                retryable=True,
            )
        raise OvertakenError(
            f"Another task has landed in {self.directory.uri} at the same time. Its result stands whole, and "
            "nothing of this task is there; the results of this task stay on the platform. Give each result its "
            "own directory, then clear this task: nothing is paid again."
        )

    def _write(self, manifest: Manifest) -> None:
        content = manifest.to_json()
        try:
            self.directory.write_manifest(self.landing, content)
        except OSError:  # of object storage it is not known whether it was carried out
            if self.directory.manifest_bytes() != content:
                raise
        self._former.add(self.seen)
        self.seen = content

    def _forget(self, names: Iterable[str]) -> None:
        """Remove what was staged; a fault in that must not hide the first one."""
        with suppress(OSError, KimiError):
            self.directory.remove(staged_name(self.landing, name) for name in (*names, MANIFEST_NAME))
