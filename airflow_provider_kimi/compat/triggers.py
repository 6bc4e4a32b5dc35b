"""The bases of triggers."""

from airflow.triggers.base import BaseTrigger, TriggerEvent

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2, which has no asset watchers
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment,misc]

__all__ = ["TRIGGERS_SEE_MARKS", "BaseEventTrigger", "BaseTrigger", "TriggerEvent"]

#: Whether a trigger learns that its task was marked: from Airflow 3.3 on.
TRIGGERS_SEE_MARKS = hasattr(BaseTrigger, "on_kill")
