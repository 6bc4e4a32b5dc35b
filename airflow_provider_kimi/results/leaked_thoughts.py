"""Thoughts of the model that leaked into its answer: what stands before it, between the tags of thoughts."""

import re
from typing import NamedTuple

#: Tags as models write them: in any case, with blanks or attributes.
_OPEN = r"<\s*think(?:\s[^<>]*)?>"
_CLOSE = r"<\s*/\s*think\s*>"

#: One block of thoughts before an answer, which may be empty.
_BLOCK = re.compile(
    rf"\s*(?:<\s*think\s*/>|{_OPEN}(?P<thoughts>.*?){_CLOSE})\s*",
    re.DOTALL | re.IGNORECASE,
)
_UNCLOSED = re.compile(rf"\s*{_OPEN}(?P<thoughts>.*)", re.DOTALL | re.IGNORECASE)

#: Letters of languages that put no blanks between words, so that a tag in a sentence touches them.
_DENSE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"

#: Thoughts without the opening tag, which stayed in the prompt. The closing tag stands alone on its line, or at the end
#: of a sentence or word without a blank; anywhere else, an answer mentions it.
_HALF = re.compile(
    rf"(?P<thoughts>.*?)(?:(?:(?<=\n)|\A)[ \t]*{_CLOSE}[ \t]*(?=\n|$)"
    rf"|(?:(?<=[.!?。！？…])|(?<=\w)(?<![{_DENSE}])|(?<=[{_DENSE}])(?={_CLOSE}\s*(?:\n|$))){_CLOSE})\s*",
    re.DOTALL | re.IGNORECASE,
)
_LEADING_CLOSE = re.compile(rf"\s*{_CLOSE}\s*", re.IGNORECASE)
_ANY_OPEN = re.compile(_OPEN, re.IGNORECASE)
_ANY_TAG = re.compile(rf"{_OPEN}|{_CLOSE}|<\s*think\s*/>", re.IGNORECASE)

#: How JSON, a quotation or code begins, which may hold the tag.
_QUOTING = tuple('[{"`')
_FENCE = "```"


class Parted(NamedTuple):
    """An answer and the thoughts that stood before it."""

    thoughts: str
    answer: str


def part(text: str, *, may_be_half: bool) -> Parted | None:
    """Part an answer from the thoughts before it; None if it holds none.

    A tag further on belongs to the answer, which may speak of tags.

    :param may_be_half: Whether one of the two tags may be missing. False where thoughts also came apart.
    """
    if "<" not in text or not _ANY_TAG.search(text):
        return None
    thoughts, end = [], 0
    while block := _BLOCK.match(text, end):
        thoughts.append((block["thoughts"] or "").strip())
        end = block.end()
    rest = text[end:]
    if may_be_half and not thoughts and (closing := _LEADING_CLOSE.match(rest)):
        return Parted("", rest[closing.end() :])
    if may_be_half and (half := _UNCLOSED.match(rest) or (None if thoughts else _half(rest))):
        return Parted("\n\n".join([*filter(None, thoughts), half["thoughts"].strip()]), rest[half.end() :])
    return Parted("\n\n".join(filter(None, thoughts)), rest) if thoughts else None


def _half(text: str) -> re.Match[str] | None:
    """Thoughts that a closing tag ends, unless something else explains the tag."""
    found = None if text.lstrip().startswith(_QUOTING) else _HALF.match(text)
    if found is None or _ANY_OPEN.search(found["thoughts"]) or found["thoughts"].count(_FENCE) % 2:
        return None
    return found
