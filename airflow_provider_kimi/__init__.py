"""Apache Airflow provider for the Batch API of Kimi (Moonshot AI)."""

__version__ = "1.0.0"
