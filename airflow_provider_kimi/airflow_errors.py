"""The one place that decides whether Airflow may retry a task."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Fail the task at once if a retry cannot help; leave other errors to its ``retries``."""
    try:
        yield
    except KimiError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from None
