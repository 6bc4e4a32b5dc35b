"""Decorators that DAG authors reach as `@task.<name>`."""
