"""The subject itself, pure: values in, values out; no clock, no network, no Airflow."""
