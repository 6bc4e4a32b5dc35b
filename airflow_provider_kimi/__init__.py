"""Apache Airflow provider for the Batch API of Kimi (Moonshot AI)."""

__version__ = "0.1.0"
