"""The one place that decides whether Airflow may retry a task."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiError


@contextmanager
def airflow_errors(task: Any) -> Iterator[None]:
    """Fail a task at once if a retry cannot help; leave other errors to its ``retries``.

    An error that ends the task keeps its type and attributes, and is an ``AirflowFailException`` too. Airflow asks a
    ``retry_policy`` about no such exception, so a task that has a policy raises the plain error.

    :param task: The operator that runs.
    """
    try:
        yield
    except KimiError as error:
        is_final = isinstance(error, AirflowFailException)
        if is_final or error.retryable or getattr(task, "retry_policy", None) is not None:
            raise
        cause = error.__cause__ if isinstance(error.__cause__, KimiError) else None  # no other text is ours
        raise _final(error).with_traceback(error.__traceback__) from cause


def _final(error: KimiError) -> KimiError:
    kind = _final_type(type(error))  # type: ignore[arg-type]  # mypy checks the hash of instances
    final = kind.__new__(kind, *error.args)
    final.__dict__.update(error.__dict__)
    return final


@cache
def _final_type(kind: type[KimiError]) -> type[KimiError]:
    """Return the type of errors that are of a kind and end a task. It is shown under the name of the kind."""
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind, AirflowFailException), names)
