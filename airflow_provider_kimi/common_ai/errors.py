"""Our errors where common.ai expects its own: each is both."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.ai.exceptions import (
    LLMBatchInputError,
    LLMBatchLimitExceededError,
    LLMBatchModelMismatchError,
)

from airflow_provider_kimi.airflow_errors import airflow_errors
from airflow_provider_kimi.compat import running_context
from airflow_provider_kimi.exceptions import KimiInputError


class KimiLLMBatchInputError(KimiInputError, LLMBatchInputError):
    """Requests of `@task.llm_batch` cannot be sent. Nothing was sent."""


class KimiLLMBatchLimitError(KimiLLMBatchInputError, LLMBatchLimitExceededError):
    """Requests of `@task.llm_batch` are too many or too large for one batch. Nothing was sent."""


class KimiLLMBatchModelError(KimiLLMBatchInputError, LLMBatchModelMismatchError):
    """Requests of `@task.llm_batch` name several models. Nothing was sent."""


@contextmanager
def common_ai_errors() -> Iterator[None]:
    """Raise wrong input as common.ai's error too, and end the task at once over what no retry can heal."""
    context = running_context()
    with airflow_errors(context.get("task") if context else None):
        try:
            yield
        except LLMBatchInputError:
            raise
        except KimiInputError as error:
            raise KimiLLMBatchInputError(str(error)) from None
