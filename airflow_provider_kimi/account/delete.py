"""Delete files that are no longer needed, because the platform keeps a limited number."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_kimi.account.remote_files import FileUses, Runs, files_of_landed
from airflow_provider_kimi.api.limits import MAX_WINDOW_HOURS
from airflow_provider_kimi.api.models import Batch, RemoteFile
from airflow_provider_kimi.calls.batch_list import find_batches
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.choices import MAX_BATCHES_SEARCHED
from airflow_provider_kimi.exceptions import KimiApiError, KimiBatchError, KimiError
from airflow_provider_kimi.records.watch import EXPIRY_GRACE_SECONDS
from airflow_provider_kimi.results.landing import Collected


@dataclass(frozen=True)
class Deletion:
    """Deletes files of this provider that no batch needs; each call returns the ids of the deleted files.

    :param dry_run: Only return what would be deleted.
    """

    calls: Calls
    dry_run: bool = False
    max_batches_searched: int = MAX_BATCHES_SEARCHED

    def of_landed(self, batches: Sequence[Batch]) -> list[str]:
        """Delete the files of batches whose result is landed for good.

        A failure is only logged, because a file that stays does no harm.
        """
        # An older batch may still work on the same input, if it is not older than the longest window and its grace.
        created = [batch.created_at for batch in batches if batch.created_at]
        since = min(created) - MAX_WINDOW_HOURS * 3600 - EXPIRY_GRACE_SECONDS if created else None
        try:
            listed = self._all_batches(since)
            if unlisted := {batch.id for batch in batches} - {batch.id for batch in listed}:
                raise KimiBatchError(
                    f"The list of the account's batches does not show {', '.join(sorted(unlisted))}, so it may lack "
                    "others too. A batch that was not seen may need a file."
                )
            return self._delete(FileUses([*listed, *batches]), map(_named_only, files_of_landed(batches)))
        except KimiError as error:
            self.calls.log.warning("The result is landed; files of its batches stay on the platform: %s", error)
            return []

    def named(self, file_ids: Iterable[str]) -> list[str]:
        """Delete these files.

        :raises KimiError: The platform does not answer, or has too many batches to know what uses the files.
        """
        uses = FileUses(self._all_batches())
        listed = {file.id: file for file in self._all_files()}
        return self._delete(uses, [listed.get(name) or _named_only(name) for name in dict.fromkeys(file_ids)])

    def older_than(
        self, seconds: float, run_state: Callable[[str, str], str | None], *, unknown_runs: bool = False
    ) -> list[str]:
        """Delete files that have not been needed for so long.

        :param run_state: Reads the state of a run, by the ids of its DAG and of the run.
        :param unknown_runs: Delete also the files of runs that this Airflow does not have.
        :raises KimiError: The platform does not answer, or has too many batches to know what uses the files.
        """
        uses = FileUses(self._all_batches())
        latest = time.time() - seconds
        files = [file for file in self._all_files() if (since := uses.unused_since(file)) and since <= latest]
        owners = {owner for file in files for owner in uses.owners(file) if owner is not None}
        states = {owner: run_state(owner.dag_id, owner.run_id) for owner in owners}
        return self._delete(uses, files, Runs(states, spares_unknown=not unknown_runs))

    def _all_batches(self, since: float | None = None) -> list[Batch]:
        most = self.max_batches_searched
        search = find_batches(self.calls, lambda batch: True, since=since, most=most, is_proof=True)
        if search.gap:
            raise KimiBatchError(f"Nothing was deleted: {search.gap}. A batch that was not seen may need a file.")
        return search.batches

    def _all_files(self) -> list[RemoteFile]:
        return self.calls.read(self.calls.hook.list_files)

    def _delete(self, uses: FileUses, files: Iterable[RemoteFile], runs: Runs | None = None) -> list[str]:
        deleted = []
        for file in files:
            name = f"{file.id} ({file.filename})" if file.filename else file.id
            reason = uses.reason_to_keep(file, time.time())
            if reason is None and runs is not None:
                reason = runs.reason_to_keep(uses.owners(file))
            if reason is not None:
                self.calls.log.info("File %s stays: %s.", name, reason)
            elif self.dry_run or self._is_deleted(file.id):
                self.calls.log.info("File %s %s.", name, "would be deleted" if self.dry_run else "is deleted")
                deleted.append(file.id)
        return deleted

    def _is_deleted(self, file_id: str) -> bool:
        try:
            return self.calls.read(lambda: self.calls.hook.delete_file(file_id))
        except KimiApiError as error:
            if error.status_code not in (403, 404):
                raise
            self.calls.log.info("File %s is already deleted, or belongs to another key: %s", file_id, error)
            return False


def _named_only(file_id: str) -> RemoteFile:
    """A file of which only the id is known."""
    return RemoteFile(id=file_id)


def delete_landed(calls: Calls, collected: Collected) -> None:
    """Delete the files of batches whose result is landed, unless they may be all that is left of it.

    What counts is what the directory holds now: another task may have landed there meanwhile.
    """
    if undone := collected.tally.counts["expired"] + collected.tally.counts["cancelled"]:
        calls.log.warning(
            "%s rows were not done when their batch ended, so its files stay on the platform: a clear of the task that "
            "created it asks only for these rows then. KimiDeleteFilesOperator deletes the files later.",
            f"{undone:,}",
        )
        return
    if not collected.is_whole:
        calls.log.warning(
            "Not every file of the batches came whole, so the files stay on the platform. Clear this task to land them "
            "again, or delete them with KimiDeleteFilesOperator."
        )
        return
    collected.directory.make_durable(collected.manifest.files.values())
    if not collected.is_in_place():
        calls.log.warning(
            "%s does not hold what this task landed, or that cannot be told, so the files of the batches stay on the "
            "platform. Has another task landed there meanwhile? Give each result its own directory, then clear this "
            "task.",
            collected.directory.uri,
        )
        return
    Deletion(calls).of_landed(collected.batches)
