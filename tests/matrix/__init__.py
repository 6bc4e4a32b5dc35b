"""The versions of Airflow, Python and dependencies that the wheel is tested with, by `make matrix`."""
