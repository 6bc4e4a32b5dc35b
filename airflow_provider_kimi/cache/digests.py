"""What a request asks, as one number that is the same in every process, run and version of this package."""

import hashlib

import msgspec

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.files.line_ids import UNREADABLE

#: Bytes of a digest.
DIGEST_BYTES = 16

#: Another version of this package must give a request the same digest, or have another version here.
_VERSION = "1"


def _as_written(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


_decode = msgspec.json.Decoder(float_hook=_as_written).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def request_digest(body: bytes, *, base_url: str, url: str = BATCH_ENDPOINT) -> bytes:
    """Digest a request, whatever its `custom_id` is, and in whatever order its keys stand.

    :param body: The body of the request, as JSON.
    :param base_url: Of the platform, so that a gateway, the simulator and the two regions never share answers.
    :param url: The call that the request is for.
    """
    digest = hashlib.blake2b(f"{_VERSION}\0{base_url.rstrip('/')}\0{url}\0".encode(), digest_size=DIGEST_BYTES)
    digest.update(_canonical(body))
    return digest.digest()


def _canonical(body: bytes) -> bytes:
    """Write a body with its keys in order; one that is not sound JSON stays as it is."""
    try:
        return _encode(_decode(body))
    except UNREADABLE:
        return body
