"""The one place that decides whether Airflow may retry a task."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from airflow_provider_kimi.compat import AirflowFailException
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiError, KimiNoAnswerError

#: Errors that are raised only from what may be logged; the text of another error's cause may hold a key or an answer.
_WITH_SAFE_CAUSES = (KimiNoAnswerError, KimiConnectionConfigError)


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
        is_safe = isinstance(error.__cause__, KimiError) or isinstance(error, _WITH_SAFE_CAUSES)
        raise _final(error).with_traceback(error.__traceback__) from (error.__cause__ if is_safe else None)


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
