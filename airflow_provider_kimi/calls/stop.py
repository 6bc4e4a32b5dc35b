"""Stop: a task that Airflow is ending starts nothing that costs money."""

from airflow_provider_kimi.exceptions import KimiStoppedError


class Stop:
    """Whether a task is being ended, and which batches its attempt has made so far.

    It is set from a signal handler, which interrupts whatever the task does, so it takes no lock.
    """

    def __init__(self) -> None:
        self._reason = ""
        self._made: list[str] = []

    @property
    def is_set(self) -> bool:
        """Whether the task is being ended."""
        return bool(self._reason)

    @property
    def made(self) -> tuple[str, ...]:
        """The batches that this attempt has made, the oldest first."""
        return tuple(self._made)

    def set(self, reason: str) -> None:
        """Stop the task; the first reason counts."""
        self._reason = self._reason or reason

    def note(self, batch_id: str) -> None:
        """Remember a batch that was just made, so that whoever ends the task finds it without a search."""
        self._made.append(batch_id)

    def check(self) -> None:
        """Call this before every upload and every create, and after the answer of a create is noted.

        :raises KimiStoppedError: The task is being ended.
        """
        if self.is_set:
            made = f"It has made {', '.join(self._made)}" if self._made else "It has made no batch"
            raise KimiStoppedError(
                f"The task is being ended: {self._reason}. Nothing more was uploaded or created. {made}; the log says "
                "what became of its batches. A retry or a clear of this task attaches to what is live."
            )
