"""What is in the requests of a job, as a value."""

from collections import Counter
from dataclasses import dataclass, field

from airflow_provider_kimi.jobs.estimate import Asked


@dataclass
class Survey:
    """What is in the requests of a job.

    :param weight: Bytes of the texts of all prompts, and of what surrounds each message.
    :param uncounted_bytes: Bytes of tools and response formats, which the platform does not count beforehand.
    :param asked: How many requests there are of each kind of answer.
    :param has_uploads: Whether some name images or videos that are not on the platform yet.
    """

    rows: int = 0
    weight: int = 0
    uncounted_bytes: int = 0
    asked: Counter[Asked] = field(default_factory=Counter)
    has_uploads: bool = False
