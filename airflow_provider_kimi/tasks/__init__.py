"""What operators do when their task runs. The parse of a DAG file loads none of it."""
