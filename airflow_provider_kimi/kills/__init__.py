"""What becomes of the batches of a task that Airflow kills."""
