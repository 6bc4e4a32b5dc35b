"""Thoughts of the model that leaked into its answer: what stands before it, between the tags of thoughts."""

import re
from typing import NamedTuple

#: Tags as models write them: in any case, with blanks or attributes; or as Kimi's older models do.
_OPEN = r"(?:<\s*think(?:\s[^<>]*)?>|◁\s*think\s*▷)"
_CLOSE = r"(?:<\s*/\s*think\s*>|◁\s*/\s*think\s*▷)"
_TAG = re.compile(rf"(?P<empty><\s*think\s*/>)|(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_BLANK = re.compile(r"\s*")
_UNCLOSED = re.compile(rf"\s*{_OPEN}(?P<thoughts>.*)", re.DOTALL | re.IGNORECASE)

#: How many tags behind the first closing one are looked at for the one that closes a block around others.
_MAX_INNER_TAGS = 50

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
    if ("<" not in text and "◁" not in text) or not _TAG.search(text):
        return None
    thoughts, end = [], 0
    while block := _block(text, end):
        thoughts.append(block[0])
        end = block[1]
    rest = text[end:]
    if may_be_half and not thoughts and (closing := _LEADING_CLOSE.match(rest)):
        return Parted("", rest[closing.end() :])
    if may_be_half and (half := _UNCLOSED.match(rest) or (None if thoughts else _half(rest))):
        return Parted("\n\n".join([*filter(None, thoughts), half["thoughts"].strip()]), rest[half.end() :])
    return Parted("\n\n".join(filter(None, thoughts)), rest) if thoughts else None


def _block(text: str, start: int) -> tuple[str, int] | None:
    """The thoughts of a block that begins at a place, and where its text goes on; None if there is none."""
    tag = _TAG.match(text, _end_of_blanks(text, start))
    if tag is None or tag["close"]:
        return None
    if tag["empty"]:
        return "", _end_of_blanks(text, tag.end())
    closing = _closing(text, tag.end())
    return closing and (text[tag.end() : closing.start()].strip(), _end_of_blanks(text, closing.end()))


def _closing(text: str, start: int) -> re.Match[str] | None:
    """The tag that closes a block, blocks inside it closed; the first one if not all tags have one."""
    first: re.Match[str] | None = None
    depth, behind = 1, 0
    for tag in _TAG.finditer(text, start):
        depth += bool(tag["open"]) - bool(tag["close"])
        if not depth:
            return tag
        first = first or (tag if tag["close"] else None)
        behind += first is not None
        if behind > _MAX_INNER_TAGS:
            break
    return first


def _end_of_blanks(text: str, start: int) -> int:
    found = _BLANK.match(text, start)
    return found.end() if found else start


def _half(text: str) -> re.Match[str] | None:
    """Thoughts that a closing tag ends, unless something else explains the tag."""
    found = None if text.lstrip().startswith(_QUOTING) else _HALF.match(text)
    if found is None or _ANY_OPEN.search(found["thoughts"]) or found["thoughts"].count(_FENCE) % 2:
        return None
    return found
