"""What the flows log to: a task's or a trigger's logger, whichever kind the Airflow version has."""

from typing import Any, Protocol


class Log(Protocol):
    """The part of a logger that the flows use."""

    def info(self, event: str, *args: Any) -> Any:
        """Tell what happened."""

    def warning(self, event: str, *args: Any) -> Any:
        """Tell what is odd."""
