"""The base of retry policies; None below Airflow 3.3, which has none."""

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:
    RetryDecision = RetryPolicy = None  # type: ignore[assignment,misc]

__all__ = ["RetryDecision", "RetryPolicy"]
