"""What a wait writes into its task's log: often at first, seldom later, each thing once."""

from collections.abc import Collection, Iterable, Mapping

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.waiting.decision import Step, Wait
from airflow_provider_kimi.waiting.known import Known, just_read
from airflow_provider_kimi.waiting.progress import progress_line, progress_of
from airflow_provider_kimi.waiting.stalls import Note, in_short

#: How often progress is shown again, with the time of the last poll, while nothing changes.
SHOWN_AGAIN_SECONDS = 900.0


class WaitLog:
    """Keeps a day of waiting under two hundred lines.

    A status that appears for the first time is logged at once, as are cancels. Everything else waits until the log has
    been silent for a tenth of the time waited before, at most a quarter of an hour.

    :param count: How many batches are waited for.
    :param start: When the wait began, in unix seconds.
    :param logged_statuses: Statuses that the log names already: the first line is about another. None where that is
        not known, as in a wait that restarts: the first line is then about the first change.
    :param to_come: How many batches are still to be created.
    """

    def __init__(
        self,
        log: Log,
        count: int,
        start: float,
        logged_statuses: Collection[str] | None = None,
        to_come: int = 0,
    ) -> None:
        self._log = log
        self._count = count
        self._start = start
        self._to_come = to_come
        self._logged_at = start
        self._logged: Progress | None = None
        self._shown_at = start
        self._statuses: set[frozenset[str]] = set()
        self._known = None if logged_statuses is None else frozenset(logged_statuses)
        self._warned: set[str] = set()
        self._is_out = False
        self.again_at: float | None = None

    def write(
        self, known: Mapping[str, Known], step: Step, now: float, polled_at: float | None = None
    ) -> Progress | None:
        """Log what is new; return the progress of all batches when it is to be shown.

        That is when it is first known, with each line about it, and every quarter of an hour. What is held back comes
        with a call at `again_at`, or at any later one.

        :param polled_at: When the batches were read, in unix seconds; None for now.
        """
        batches = just_read(known).values()
        self.again_at = None
        if isinstance(step, Wait):
            self._log_doubts(step.doubts, now)
            self._log_notes(step.notes, now)
            self._log_fault(step.fault, now)
        if not batches or len(batches) < self._count:
            return None
        progress = progress_of(batches, now if polled_at is None else polled_at, self._to_come)
        is_shown = self._log_progress(batches, progress, now) or now >= self._shown_at + SHOWN_AGAIN_SECONDS
        if is_shown:
            self._shown_at = now
        show_at = self._shown_at + SHOWN_AGAIN_SECONDS
        self.again_at = show_at if self.again_at is None else min(self.again_at, show_at)
        return progress if is_shown else None

    def warn(self, line: str, subject: str) -> None:
        """Log a warning, unless there was one of this subject before."""
        if subject not in self._warned:
            self._warned.add(subject)
            self._log.warning("%s", line)

    def _log_doubts(self, doubts: Iterable[Note], now: float) -> None:
        for doubt in doubts:
            self.warn(doubt.line, doubt.subject)
            self._is_out, self._logged_at = True, now

    def _log_notes(self, notes: Iterable[Note], now: float) -> None:
        new = [note for note in notes if note.subject not in self._warned]
        if new and not self._is_too_soon(now):
            self._warned.update(note.subject for note in new)
            self._log.warning("%s Waiting on.", in_short(new))
            self._logged_at = now

    def _log_fault(self, fault: str, now: float) -> None:
        if self._is_out == bool(fault) or self._is_too_soon(now):
            return
        if fault:
            self._log.warning("%s Waiting on.", fault)
        else:
            self._log.info("The batches can be read again.")
        self._is_out = bool(fault)
        self._logged_at = now

    def _log_progress(self, batches: Collection[Batch], progress: Progress, now: float) -> bool:
        """Log progress if it is new; whether it was."""
        if self._logged is not None and _key(progress) == _key(self._logged):
            return False
        statuses = frozenset(progress.statuses)
        if statuses in self._statuses and self._is_too_soon(now):
            return False
        has_ended = all(batch.is_terminal for batch in batches)
        is_known = self._logged is None and self._known in (None, statuses)
        if not is_known or has_ended:
            self._log.info("%s", progress_line(batches, progress, now))
        self._statuses.add(statuses)
        self._logged, self._logged_at = progress, now
        return True

    def _is_too_soon(self, now: float) -> bool:
        silence = min((self._logged_at - self._start) / 10, 900.0)
        if now >= self._logged_at + silence:
            return False
        self.again_at = self._logged_at + silence
        return True


def _key(progress: Progress) -> tuple[object, ...]:
    return progress.statuses, progress.total, progress.completed, progress.failed
