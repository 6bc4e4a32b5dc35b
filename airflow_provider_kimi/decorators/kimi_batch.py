"""`@task.kimi_batch`: the function returns or yields the rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.compat.decorators import DecoratedOperator, TaskDecorator, task_decorator_factory
from airflow_provider_kimi.operators.job import KimiBatchOperator
from airflow_provider_kimi.rendering import never_rendered


class _KimiBatchDecoratedOperator(DecoratedOperator, KimiBatchOperator):
    """A `KimiBatchOperator` whose input is what a function returns or yields.

    The function is called in the worker: once before the rows are sent, and once for each landing, for their columns.
    What it returns passes through no XCom and no rendered field.

    :param python_callable: The function.
    :param op_args: Its arguments. Templated.
    :param op_kwargs: The same by name. Templated.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(field for field in KimiBatchOperator.template_fields if field != "input"),
    )
    custom_operator_name = "@task.kimi_batch"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if "input" in kwargs:
            raise TypeError("@task.kimi_batch takes no input: the function returns or yields the rows")
        kwargs.pop("multiple_outputs", None)  # Airflow infers it from what the function is annotated to return
        super().__init__(
            python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, input=python_callable, **kwargs
        )

    def execute(self, context: Context) -> Any:
        """Submit, wait, land."""
        self._bind()
        return KimiBatchOperator.execute(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Resume when the trigger has fired."""
        self._bind()
        return super().execute_complete(context, event, *args, **kwargs)

    def execute_answered(self, context: Context, event: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Go on once a person has approved the job."""
        self._bind()
        return super().execute_answered(context, event, *args, **kwargs)

    def _bind(self) -> None:
        """Give the function the arguments that it was called with in the DAG."""
        self.input = never_rendered(partial(self.python_callable, *self.op_args, **self.op_kwargs))


def kimi_batch_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Label the rows that a function returns or yields.

    :param python_callable: The function; None where the decorator has parameters.
    :param kwargs: The parameters of a :class:`~airflow_provider_kimi.operators.batch.KimiBatchOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_KimiBatchDecoratedOperator, **kwargs
    )
