"""The files that attempts of a job have uploaded: the second record of what was submitted.

The name of an input file holds the job key, the shard and a digest of what is in it. So the list of files says whether
any attempt ever uploaded a shard, even where the list of batches does not show what became of it.
"""

from collections.abc import Iterable

from airflow_provider_kimi.api.models import RemoteFile
from airflow_provider_kimi.records.shard_names import ShardName


class Uploads:
    """Files that the account keeps, by the names that they were given.

    :param is_whole: Whether the platform has shown all of them.
    """

    def __init__(self, files: Iterable[RemoteFile], *, is_whole: bool = True) -> None:
        self.is_whole = is_whole
        self._by_name: dict[str, list[RemoteFile]] = {}
        for file in sorted(files, key=lambda file: file.created_at or 0, reverse=True):
            self._by_name.setdefault(file.given_name, []).append(file)

    def ids_beginning(self, name: str) -> list[str]:
        """Ids of the files whose names begin so."""
        return [file.id for given, files in self._by_name.items() if given.startswith(name) for file in files]

    def ids_of_rows(self, job: str, name: ShardName) -> list[str]:
        """Ids of the input files of a job that hold any of these rows."""
        begin = f"{job}-"
        return [
            file.id
            for given, files in self._by_name.items()
            if given.startswith(begin) and name.is_met_by(given.removeprefix(begin))
            for file in files
        ]

    def newest(self, name: str, size: int) -> str | None:
        """Id of the newest file of a name and size; None if there is none."""
        return next((file.id for file in self._by_name.get(name, ()) if file.bytes == size), None)

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))
