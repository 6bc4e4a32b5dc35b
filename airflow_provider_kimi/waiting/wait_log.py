"""Diary: what a wait writes into its task's log. Often at first, seldom later, each thing once."""

from collections.abc import Collection, Iterable, Mapping

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.waiting.decision import Seen, Step, Wait
from airflow_provider_kimi.waiting.progress import Progress, progress_of, summary_line
from airflow_provider_kimi.waiting.stalls import Note, in_short

#: Longest silence about something new.
MAX_SILENCE_SECONDS = 900.0


class Diary:
    """Keeps a day of waiting under two hundred lines.

    A status that appears for the first time is told at once, as are cancels. Everything else waits until the log has
    been silent for a tenth of the time waited before, at most a quarter of an hour.

    :param count: How many batches are waited for.
    :param begun: When the wait began, in unix seconds.
    :param told: Statuses that the log has told already: the first line is about another. None where that is not known,
        as in a wait that begins again: the first line is then about the first change.
    """

    def __init__(self, log: Log, count: int, begun: float, told: Collection[str] | None = None) -> None:
        self._log = log
        self._count = count
        self._begun = begun
        self._told_at = begun
        self._told: Progress | None = None
        self._statuses: set[frozenset[str]] = set()
        self._known = None if told is None else frozenset(told)
        self._warned: set[str] = set()
        self._is_out = False
        self.again_at: float | None = None

    def write(self, seen: Mapping[str, Seen], step: Step, now: float) -> Progress | None:
        """Tell what is new; return the progress of all batches when it is first known, and with each line about it.

        What is held back is told by a call at `again_at`, or at any later one.
        """
        batches = {batch_id: what for batch_id, what in seen.items() if isinstance(what, Batch)}
        self.again_at = None
        if isinstance(step, Wait):
            self._tell_notes(step.notes, now)
            self._tell_fault(step.fault, now)
        return self._tell_progress(batches, now) if len(batches) == self._count else None

    def warn(self, line: str, subject: str | None = None) -> None:
        """Tell a warning, unless it was told before.

        :param subject: Of what no second one is told; None for the line itself.
        """
        if (subject or line) not in self._warned:
            self._warned.add(subject or line)
            self._log.warning("%s", line)

    def _tell_notes(self, notes: Iterable[Note], now: float) -> None:
        new = [note for note in notes if note.subject not in self._warned]
        if new and not self._is_too_soon(now):
            self._warned.update(note.subject for note in new)
            self._log.warning("%s Waiting on.", in_short(new))
            self._told_at = now

    def _tell_fault(self, fault: str, now: float) -> None:
        if self._is_out == bool(fault) or self._is_too_soon(now):
            return
        if fault:
            self._log.warning("%s Waiting on.", fault)
        else:
            self._log.info("The batches can be looked at again.")
        self._is_out = bool(fault)
        self._told_at = now

    def _tell_progress(self, batches: Mapping[str, Batch], now: float) -> Progress | None:
        progress = progress_of(batches.values(), now)
        if self._told is not None and progress.key == self._told.key:
            return None
        statuses = frozenset(progress.statuses)
        if statuses in self._statuses and self._is_too_soon(now):
            return None
        has_ended = all(batch.is_terminal for batch in batches.values())
        is_known = self._told is None and self._known in (None, statuses)
        if not is_known or has_ended:
            self._log.info("%s", summary_line(batches, progress))
        self._statuses.add(statuses)
        self._told, self._told_at = progress, now
        return progress

    def _is_too_soon(self, now: float) -> bool:
        silence = min((self._told_at - self._begun) / 10, MAX_SILENCE_SECONDS)
        if now >= self._told_at + silence:
            return False
        self.again_at = self._told_at + silence
        return True
