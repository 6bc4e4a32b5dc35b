"""Airflow's side of an error: the one place that decides whether a task may be retried."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Let a task fail at once where a retry cannot heal, and leave the rest to its ``retries``."""
    try:
        yield
    except KimiError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from None
