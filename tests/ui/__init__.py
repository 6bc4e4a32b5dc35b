"""What people see in the Airflow UI."""
