"""Which tests cannot hold on an older Airflow."""

import pytest
from airflow import __version__


def needs_airflow(major: int, minor: int, what: str) -> pytest.MarkDecorator:
    """Skip a test, with what is missing, on an Airflow that is older."""
    found = tuple(int(part) for part in __version__.split(".")[:2])
    return pytest.mark.skipif(found < (major, minor), reason=f"Airflow {__version__} lacks {what} ({major}.{minor})")
