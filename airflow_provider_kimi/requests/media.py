"""Images and videos of a row: their kinds, and how a request names them."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from airflow_provider_kimi.requests.problems import RowProblem

MediaKind = Literal["image", "video"]

#: What stands in a request for a file that is not uploaded yet. It is longer than any id that the platform was seen to
#: give, so that a request only becomes shorter.
PLACEHOLDER = "kimi-media-"

_NAMED = re.compile(rf"ms://({PLACEHOLDER}[0-9a-f]{{64}})".encode())

#: First bytes, their offset, the kind and the MIME type of each accepted format (guide to vision models).
_SIGNATURES: tuple[tuple[bytes, int, MediaKind, str], ...] = (
    (b"\xff\xd8\xff", 0, "image", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "image", "image/png"),
    (b"GIF8", 0, "image", "image/gif"),
    (b"WEBP", 8, "image", "image/webp"),
    (b"BM", 0, "image", "image/bmp"),
    (b"ftyphei", 4, "image", "image/heic"),
    (b"ftyphev", 4, "image", "image/heic"),
    (b"ftypmif1", 4, "image", "image/heif"),
    (b"ftyp3gp", 4, "video", "video/3gpp"),
    (b"ftypqt", 4, "video", "video/mov"),
    (b"ftyp", 4, "video", "video/mp4"),
    (b"moov", 4, "video", "video/mov"),
    (b"AVI ", 8, "video", "video/avi"),
    (b"FLV\x01", 0, "video", "video/x-flv"),
    (b"\x1aE\xdf\xa3", 0, "video", "video/webm"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "video", "video/wmv"),
    (b"\x00\x00\x01\xba", 0, "video", "video/mpeg"),
    (b"\x00\x00\x01\xb3", 0, "video", "video/mpeg"),
)

#: Files of the mp4 family that are neither a video nor an accepted image.
_OTHER_BRANDS = (b"ftypavif", b"ftypavis", b"ftypM4A", b"ftypM4B")

#: Bytes that are enough to recognise a format.
SIGNATURE_BYTES = 16


def media_columns(
    image_column: str | Sequence[str] | None, video_column: str | Sequence[str] | None
) -> dict[str, MediaKind]:
    """Return the kind of each column that holds media, images first."""
    named: dict[str, MediaKind] = {}
    for kind, columns in (("image", image_column), ("video", video_column)):
        for column in (columns,) if isinstance(columns, str) else columns or ():
            named[column] = cast(MediaKind, kind)
    return named


def media_type(begin: bytes) -> tuple[MediaKind, str] | None:
    """Recognise the kind and the MIME type of a file; None if the platform does not accept it."""
    if begin[4:].startswith(_OTHER_BRANDS):
        return None
    for signature, offset, kind, mime in _SIGNATURES:
        if begin[offset : offset + len(signature)] == signature:
            return kind, mime
    return None


def media_part(kind: MediaKind, url: str) -> dict[str, Any]:
    """Return a part of a message's content."""
    name = f"{kind}_url"
    return {"type": name, name: {"url": url}}


def with_media(messages: Any, media: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Put media before the text of the last user message; refuse messages without one."""
    given = messages if isinstance(messages, Sequence) else ()
    last = next((place for place in reversed(range(len(given))) if _is_from_user(given[place])), None)
    if last is None:
        raise RowProblem("has media, but its messages have none of the user to put them into")
    content = messages[last].get("content") or ()
    if not isinstance(content, Sequence):
        raise RowProblem("has media, but the content of its last user message is neither text nor a list of parts")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*messages[:last], {**messages[last], "content": [*media, *parts]}, *messages[last + 1 :]]


def _is_from_user(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "user"


def data_url(mime: str, content: bytes) -> str:
    """Write a content as an address."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def placeholder(content: bytes) -> str:
    """Name a content; the name stands for its file until that is uploaded."""
    return PLACEHOLDER + hashlib.sha256(content).hexdigest()


def media_in(line: bytes) -> list[str]:
    """The placeholders that a request names."""
    return [found.decode() for found in _NAMED.findall(line)]


def with_file_ids(line: bytes, file_ids: Mapping[bytes, bytes]) -> bytes:
    """Replace the placeholders of a request by the ids of the uploaded files."""
    marker = f"ms://{PLACEHOLDER}".encode()
    if marker not in line:
        return line
    first, *others = line.split(marker)
    digest_chars = 64
    pieces = [first]
    for other in others:
        digest = other[:digest_chars]
        known = file_ids.get(digest)
        pieces.append(marker + other if known is None else b"ms://" + known + other[digest_chars:])
    return b"".join(pieces)
