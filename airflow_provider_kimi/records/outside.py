"""What other programs read of a record: locations without a connection of Airflow, and JSON that Airflow can store."""

import re
from typing import Any

#: Characters that PostgreSQL refuses in JSON, and halves of a character, which no message of Airflow can hold.
_REFUSED = re.compile("[\x00\ud800-\udfff]")


def without_connection(uri: str) -> str:
    """Leave the connection out of a URI: `s3://aws_default@bucket/key` is `s3://bucket/key`."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def plain_location(uri: str) -> str:
    """Write the location of a landed file as any program takes it: a path on a disk, else a URI of the storage."""
    return without_connection(uri).removeprefix("file://")


def storable(value: Any) -> Any:
    """Replace the characters in JSON that Airflow cannot store."""
    if isinstance(value, str):
        return _REFUSED.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(name): storable(each) for name, each in value.items()}
    return [storable(each) for each in value] if isinstance(value, list) else value
