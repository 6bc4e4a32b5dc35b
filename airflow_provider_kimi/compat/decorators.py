"""What decorators of tasks are made of."""

from airflow.providers.common.compat.sdk import DecoratedOperator, TaskDecorator, task_decorator_factory

__all__ = ["DecoratedOperator", "TaskDecorator", "task_decorator_factory"]
