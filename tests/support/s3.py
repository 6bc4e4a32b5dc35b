"""An S3 for tests: moto's server on a loopback port, a bucket, and its objects."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

KEY, SECRET, REGION = "AKIA-of-the-tests", "secret-of-the-tests", "us-east-1"


class Storage:
    """A new bucket, as a program sees it that shares nothing with the worker.

    :param endpoint: URL of the S3 server.
    :param name: Id of its Airflow connection; the name of its bucket contains it. It must be unique: Airflow and
        fsspec remember connections and listings until the process ends.
    """

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.conn_id = name
        self.bucket = f"bucket-{name}"
        self._client: Any = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION
        )
        self._client.create_bucket(Bucket=self.bucket)

    @property
    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow connection to it."""
        extra = {"endpoint_url": self.endpoint, "region_name": REGION}
        return {"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra}

    def uri(self, key: str) -> str:
        """The address of a key, as users write it."""
        return f"s3://{self.conn_id}@{self.bucket}/{key}"

    def put(self, key: str, content: bytes) -> str:
        """Store an object, and return its address."""
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)
        return self.uri(key)

    def get(self, key: str) -> bytes:
        """Read an object."""
        content: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self.bucket, Key=key)

    def keys(self) -> list[str]:
        """Every key, in alphabetical order."""
        found = self._client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [entry["Key"] for entry in found]

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse every key for the length of the block."""
        self._let_pass("0")
        try:
            yield
        finally:
            self._let_pass("inf")

    def _let_pass(self, calls: str) -> None:
        headers = {"Content-Type": "text/plain"}
        address = f"{self.endpoint}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(address, calls.encode(), headers, method="POST")).close()


@contextmanager
def s3_server() -> Iterator[str]:
    """Start an S3 server on a free port; yields its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
