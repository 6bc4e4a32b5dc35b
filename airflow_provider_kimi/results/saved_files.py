"""What was decided about saved rows, beside the result, so that every attempt of a task instance decides the same."""

from pathlib import Path

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import lines_at, new_file
from airflow_provider_kimi.records.saved import SavedHeader, begin_of_saved, is_name_of_saved, read_saved_line
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.saved_rows import is_as_named
from airflow_provider_kimi.results.staging import SAVED_NAME


class SavedFilesBeside:
    """The saved files of one task instance in its output directory."""

    def __init__(self, output: str, task: TaskIdentity) -> None:
        self._output = output
        self._task = task

    def earlier(self, fingerprint: str, path: Path) -> bool:
        """Copy what an earlier attempt has decided about these requests; False if that is nothing.

        :param path: On this machine.
        """
        directory = OutputDirectory(self._output)
        whole = path.with_name(f"{path.name}.whole")
        begun = self._names(directory, fingerprint)
        while begun:
            begun.remove(oldest := directory.oldest(begun))
            is_whole = directory.copy(oldest, whole) and is_as_named(oldest, whole)
            if is_whole and self._own_lines(whole, fingerprint, path):
                return True
            directory.remove([oldest])  # edited, or cut by a power failure: no result can be made with it
        return directory.copy(SAVED_NAME, whole) and self._own_lines(whole, fingerprint, path)

    def _own_lines(self, whole: Path, fingerprint: str, path: Path) -> bool:
        """Copy the lines below the own header; a result that others were merged into has more than one."""
        is_own = is_any = False
        with new_file(path) as target:
            for _, line in lines_at(whole):
                if isinstance(header := read_saved_line(line), SavedHeader):
                    is_own = header.is_of(self._task, fingerprint)
                    is_any |= is_own
                elif is_own:
                    target.write(line + b"\n")
        return is_any

    def keep(self, fingerprint: str, name: str, path: Path, *, is_found: bool, is_fresh: bool) -> bool:
        """Keep a file under its name.

        :param fingerprint: Of all requests.
        :param is_found: Whether an earlier attempt has decided what is in it.
        :param is_fresh: Whether it takes the place of whatever was decided before.
        :return: False if another attempt has decided meanwhile, so that its decision counts.
        :raises KimiInputError: The directory does not list it.
        """
        directory = OutputDirectory(self._output)
        if is_fresh or name not in self._names(directory, fingerprint):
            directory.place(name, path)
        names = self._names(directory, fingerprint)
        if name not in names:
            directory.remove([name])
            raise KimiInputError(
                f"Output {self._output!r} does not list a file that was just written there, by which a retry knows "
                "the rows that are not sent. Nothing was sent. Allow its key to list it, then clear this task."
            )
        if is_fresh:
            directory.remove(other for other in names if other != name)
            return True
        others = (other for other in names if other != name)
        if is_found or not any(map(directory.has, others)):  # no times: S3 has seconds, and machines other clocks
            return True
        directory.remove([name])
        return False

    def forget(self, name: str) -> None:
        """Remove a file, so that a later attempt decides anew."""
        OutputDirectory(self._output).remove([name])

    def _names(self, directory: OutputDirectory, fingerprint: str) -> list[str]:
        """The names of the whole files that decide about these requests."""
        return list(filter(is_name_of_saved, directory.names_beginning(begin_of_saved(self._task, fingerprint))))
