"""The images and videos of a request: where they may come from."""

import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

#: Purpose of the stored file with an id; None if there is none.
PurposeOf = Callable[[str], str | None]

MEDIA_PURPOSES = ("image", "video")
_PART_TYPES = ("image_url", "video_url")


def media_problem(messages: Iterable[Mapping[str, Any]], purpose_of: PurposeOf) -> str | None:
    """Say which image or video of a request cannot be read, and why."""
    for kind, spelled in _media_parts(messages):
        url = spelled.get("url") if isinstance(spelled, dict) else spelled
        problem = _url_problem(url, purpose_of) if isinstance(url, str) else "the url must be a text"
        if problem is not None:
            return f"{kind}: {problem}"
    return None


def _media_parts(messages: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, object]]:
    """Find them in lists of parts only; a list that was serialized is a text like any other."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") in _PART_TYPES:
                yield part["type"], part.get(part["type"])


def _url_problem(url: str, purpose_of: PurposeOf) -> str | None:
    scheme, _, rest = url.partition(":")
    match scheme.lower():
        case "http" | "https":
            return "public URLs are not supported, use base64 or the id of an uploaded file"
        case "ms":
            file_id = rest.removeprefix("//")
            found = purpose_of(file_id) in MEDIA_PURPOSES
            return None if found else f"ms://{file_id} is not a file uploaded with purpose image or video"
        case "data":
            return None if _is_base64(rest) else "data must be base64"
    return "the url must begin with data: or ms://"


def _is_base64(rest: str) -> bool:
    kind, _, data = rest.partition(",")
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:  # also for what is not ASCII
        return False
    return kind.endswith(";base64")
