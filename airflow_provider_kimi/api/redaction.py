"""What texts of the platform must not carry into messages, logs and results: ids of accounts, keys, and prompts."""

import re
from collections.abc import Iterator, Mapping

#: Longest text of the platform that a message repeats.
MAX_QUOTED_CHARS = 300

#: Longest part of a prompt that may stand in a text of the platform. Words that both use are shorter.
MAX_SHARED_CHARS = 12

HIDDEN = "<hidden>"

#: Ids of accounts and keys, which the platform puts into its texts of 429, and anything that looks like a key: whole,
#: with stars or dots in place of its middle, or short with a digit. A letter of another script may stand before it, or
#: a bracket that somebody has escaped.
_SECRETS = re.compile(
    r"(?:<|\\u003c|&lt;|%3c)[^<>\s]*?(?:org|ak|proj|key)-[^<>\s]*?(?:>|\\u003e|&gt;|%3e)"
    r"|<[^<>\s]*(?:org|ak|proj|key)-[^<>]*>"
    r"|(?:(?<![a-z])|(?<=u003c)|(?<=%3c))(?:sk|ak|org|proj)-"
    r"(?:[\w-]*(?:[*•…]|\.{2})[\w*•….-]*|(?=[\w-]*\d)[\w-]+|[\w-]{6,})"
    r"|(?<=bearer )(?=\S*\d)\S+",
    re.IGNORECASE | re.ASCII,
)


def without_ids(text: str) -> str:
    """Remove ids of accounts and keys."""
    return _SECRETS.sub(HIDDEN, text)


def redact(text: str) -> str:
    """Remove ids of accounts and keys, and cut the rest to a readable length."""
    clean = without_ids(" ".join(text.split()))
    return clean if len(clean) <= MAX_QUOTED_CHARS else clean[:MAX_QUOTED_CHARS] + "..."


def without_prompt(said: str, sent: object) -> str:
    """Remove what a text repeats of the messages that were sent.

    :param sent: Value of `messages`; None if there were none.
    """
    texts = [" ".join(text.split()) for text in _texts_in(sent)]
    said = " ".join(said.split())
    for text in sorted(filter(None, texts), key=len, reverse=True):
        said = said.replace(text, HIDDEN) if len(text) > 3 else said
    size, hidden = MAX_SHARED_CHARS + 1, [False] * len(said)
    for start in range(len(said) - size + 1):
        if any(said[start : start + size] in text for text in texts):
            hidden[start : start + size] = [True] * size
    kept = "".join("\0" if is_hidden else char for char, is_hidden in zip(said, hidden, strict=True))
    return re.sub("\0+", HIDDEN, kept)


def _texts_in(value: object) -> Iterator[str]:
    """The contents of messages, or of parts of a message."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts_in(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if name not in ("role", "type"):
                yield from _texts_in(one)
