"""The recipe note: what a job notes about its rows. It travels with the batch, so that results need only its id.

A short note is in the metadata; a longer one is in a file beside the input, which also has the digests of the rows
where the requests themselves do not show what they were made from.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Self

import msgspec

from airflow_provider_kimi.records.reading import Reading

#: Version of the requests that a note describes. Rows are compared with requests of the same version only.
REQUESTS_VERSION = 1

#: More than any note has.
_MAX_BYTES = 1 << 22


class RecipeNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the rows of a job became requests.

    :param key_column: The column or columns that name the rows; None if their places do.
    :param prompt: Template of a prompt, if there is one; likewise `system_prompt`, and the templates of `messages`.
    :param body: The templates of a body's messages.
    :param media_columns: Columns of images and videos.
    :param is_function: Whether a function made the requests, so that they cannot be made again.
    :param is_ready: Whether the rows were requests.
    :param requests_version: Of the requests that the note describes.
    :param reading: How the text of input files is read; None for plain UTF-8.
    """

    key_column: str | list[str] | None = None
    prompt: str | None = None
    system_prompt: str | None = None
    messages: Any = None
    body: Any = None
    media_columns: list[str] = []
    is_function: bool = False
    is_ready: bool = False
    requests_version: int = 0
    reading: Reading | None = None

    @property
    def has_digests(self) -> bool:
        """Whether rows are compared by digests, because requests do not show what they were made from."""
        return self.is_function or bool(self.media_columns)


class RowsNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The recipe note of a job, and digests of rows; also one line of the file beside the input.

    :param note: The note; None in a further line of the file.
    :param shard: Number of the batch whose rows these are, from 1.
    :param digests: Eight bytes for each row, in their order.
    """

    note: RecipeNote | None = None
    shard: int = 0
    digests: bytes = b""

    def packed(self) -> str:
        """Write it as short text."""
        return urlsafe_b64encode(zlib.compress(msgspec.json.encode(self), 9)).decode()

    @classmethod
    def of_packed(cls, text: str) -> Self | None:
        """Read it back; None if it is not a note that this version can read."""
        try:
            unpacked = zlib.decompressobj().decompress(urlsafe_b64decode(text), _MAX_BYTES)
            return msgspec.json.decode(unpacked, type=cls)
        except (ValueError, zlib.error, msgspec.MsgspecError):
            return None
