"""What is in the requests of a job, as a value."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from airflow_provider_kimi.jobs.estimate import Asked


@dataclass
class Survey:
    """What is in the requests of a job.

    :param ends: The bytes of all prompts up to each request, and with it: those of its texts, and of what surrounds
        each message.
    :param uncounted_bytes: Bytes of tools and response formats, which the platform does not count beforehand.
    :param asked: How many requests there are of each kind of answer.
    :param has_uploads: Whether some name images or videos that are not on the platform yet.
    """

    ends: array[int] = field(default_factory=lambda: array("q"))
    uncounted_bytes: int = 0
    asked: Counter[Asked] = field(default_factory=Counter)
    has_uploads: bool = False

    @property
    def rows(self) -> int:
        """How many requests there are."""
        return len(self.ends)

    @property
    def weight(self) -> int:
        """The bytes of all prompts."""
        return self.ends[-1] if self.ends else 0
