"""The Kimi platform as it is: limits, values, errors. No Airflow inside."""
