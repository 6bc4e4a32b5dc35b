"""Fixtures of the integration tests: an S3 of our own behind an Airflow connection."""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.s3 import Storage, s3_server


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 server."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A bucket that no other test has used, behind an Airflow connection."""
    storage = Storage(s3_endpoint, uuid4().hex)
    monkeypatch.setenv(f"AIRFLOW_CONN_{storage.conn_id.upper()}", json.dumps(storage.connection))
    return storage
