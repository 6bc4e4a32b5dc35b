"""Answers that have to be one of several labels: which values are labels, and how an answer may write one."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain
from typing import Any, Literal, get_args, get_origin

from airflow_provider_kimi.results.found_json import FENCE, SchemaMismatch, whole

Label = str | int | bool

#: The labels that a text may mean, by their representation: True and 1 are equal, but two labels.
_Index = dict[str, dict[str, Label]]

#: What models put around a label: quotes, emphasis, brackets and characters without width on both sides, punctuation of
#: a sentence after it.
_QUOTES = "\"'`*_“”‘’„«»‹›\u200b\ufeff"
_OPENING = _QUOTES + "([{（［｛【〔〖《〈「『"
_CLOSING = _QUOTES + ")]}）］｝】〕〗》〉」』"
_PUNCTUATION = ".,;:!。．，、；：！…"
_MAX_AROUND = 40

#: Keys that say that their value is the label, in the words that models make them of.
_KEY = re.compile(
    r"(?:(?:final|predicted|overall|correct|sentiment) )*"
    r"(?:label|category|class|classification|answer|sentiment|result|prediction)"
    r"|(?:最终|预测|正确|情感|分类)*(?:标签|类别|分类|答案|情感|倾向|极性|结果)"
)

#: Keys whose value is not the label, though it may be one of the words.
_OTHER_KEYS = {"excluded", "error", "wrong", "incorrect", "rejected", "opposite", "unlikely", "排除", "错误"}

#: A negation in a key, whose words are parted by blanks: then its value is not what the answer is.
_NEGATION = re.compile(r"\b(?:not?|never|non\w*|\w+n['’]t)\b|^(?:并|是)?[不非无没未]")
_BETWEEN_WORDS = re.compile(r"[\s_-]*(?=[A-Z][a-z])|[\s_-]+")

#: Forms of Arabic letters by their places in a word.
_OF_PLACES = ("initial", "medial", "final", "isolated")

#: What Unicode calls other forms of a character, such as wide ones; and of those that it calls compatible, the
#: categories that mean the same: letters, Roman numerals and blanks, not a digit before a dot.
_FORMS = frozenset(f"<{kind}" for kind in ("wide", "narrow", "noBreak", "font", "vertical", *_OF_PLACES))
_COMPATIBLE = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "Zs"))

#: What may stand before a fenced label: nothing, or words that end in a colon.
_BEFORE_FENCE = re.compile(r"\s*|.*[:：]\s*", re.DOTALL)
#: The whole answer: a key and a value on a line of their own, or a value between tags.
_KEY_AND_VALUE = re.compile(
    r"(?P<key>[^\n:：]{1,60})[:：](?P<value>[^\n]+)|<(?P<tag>[^<>/]{1,60})>(?P<inner>[^<>]*)</(?P=tag)>"
)
_AROUND_KEY = f"{_QUOTES}【】 _"


def labels_of(given: Any) -> Sequence[Any] | None:
    """The labels of a list, an Enum or a Literal; None if it is none of them."""
    if get_origin(given) is Literal:
        return [value.value if isinstance(value, Enum) else value for value in get_args(given)]
    if isinstance(given, type) and issubclass(given, Enum):
        return [member.value for member in given]
    return given if isinstance(given, list | tuple) else None


def read_labels(labels: Sequence[Any]) -> Callable[[str], Label]:
    """How answers are read that have to be one of these labels."""
    if not _are_labels(labels):
        raise ValueError(
            f"output_schema is {labels!r:.200}; it must be a list of labels, which are texts that are not blank, or "
            "else whole numbers, True or False"
        )
    return _Labels([(_text(label), label) for label in labels]).read


def read_synonyms(given: Mapping[Any, Sequence[Any]]) -> Callable[[str], Label]:
    """How answers are read that have to be one of these labels, or a synonym of one."""
    if not _are_labels(list(given)) or not all(map(_is_label, chain.from_iterable(given.values()))):
        raise ValueError(
            f"output_schema is {dict(given)!r:.200}; its labels and their synonyms must be texts that are not blank, "
            "or else whole numbers, True or False"
        )
    known: dict[str, Label] = {}
    for label, listed in given.items():
        for folded in {_folded(_text(name)) for name in (label, *listed)}:
            if folded in known:
                raise ValueError(
                    f"output_schema has {folded!r} for the label {known[folded]!r} and for the label {label!r}; each "
                    "text can belong to one of them only"
                )
            known[folded] = label
    return _Labels([(_text(name), label) for label, listed in given.items() for name in (label, *listed)]).read


class _Labels:
    """Finds the label that an answer writes.

    :param named: Texts, and the label that each one means.
    """

    def __init__(self, named: Sequence[tuple[str, Label]]) -> None:
        self._exact: _Index = {}
        self._alike: _Index = {}
        self._unpunctuated: _Index = {}
        for text, label in named:
            for index, form in (
                (self._exact, text),
                (self._alike, _folded(text)),
                (self._unpunctuated, _folded(text).rstrip(_PUNCTUATION)),
            ):
                index.setdefault(form, {})[repr(label)] = label
        for text, labels in self._exact.items():
            if len(labels) > 1:
                raise ValueError(f"output_schema has two labels that are written {text!r}: {', '.join(labels)}")
        self._count = len({said for labels in self._exact.values() for said in labels})
        self._max_chars = 2 * max(map(len, self._exact)) + 2 * _MAX_AROUND

    def read(self, text: str) -> Label:
        """The label of an answer, which holds nothing else but what models put around one."""
        found = self._match(text)
        if not found:
            for part in _parts(text):
                found |= self._match(part)
        if len(found) > 1:
            raise SchemaMismatch("the answer holds several labels")
        if not found:
            size = f"{len(text):,} character{'' if len(text) == 1 else 's'}"
            raise SchemaMismatch(f"the answer is none of the {self._count} labels (it has {size})")
        return found.popitem()[1]

    def _match(self, written: str) -> dict[str, Label]:
        """The label that is written here: as it is listed, or else the only one that is alike; empty if none is."""
        written = written.strip()
        if not written or len(written) > self._max_chars:
            return {}
        folded = ""
        for text in _layers(written):
            if found := self._exact.get(text) or self._alike.get(folded := _folded(text)):
                return dict(found) if len(found) == 1 else {}
        found = self._unpunctuated.get(folded, {}) if folded else {}
        return dict(found) if len(found) == 1 else {}


def _are_labels(values: Sequence[object]) -> bool:
    """Whether values are labels of one kind, so that the column `parsed` has one type."""
    are_texts = {isinstance(value, str) for value in values}
    return len(are_texts) == 1 and all(map(_is_label, values))


def _is_label(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and not value.isspace() and value != "")


def _text(label: Label) -> str:
    """A label as JSON writes it."""
    return str(label).lower() if isinstance(label, bool) else str(label).strip()


def _folded(text: str) -> str:
    """A text without what makes no difference: case, the width of letters, the number of blanks."""
    return " ".join(_in_plain_letters(_in_plain_letters(text).casefold()).split())


def _in_plain_letters(text: str) -> str:
    """A text whose letters and digits have their usual forms; a superscript is not its digit, nor a circled one."""
    if text.isascii():
        return text
    plain = (unicodedata.normalize("NFKC", one) if _is_form(one) else one for one in text)
    return unicodedata.normalize("NFC", "".join(plain))


def _is_form(character: str) -> bool:
    """Whether a character is another form of what it stands for, and means the same."""
    kind = unicodedata.decomposition(character).partition(">")[0]
    return kind in _FORMS or (kind == "<compat" and unicodedata.category(character)[:2] in _COMPATIBLE)


def _layers(text: str) -> Iterator[str]:
    """A text, and what is left of it when what stands around a label is taken away, layer by layer."""
    for _ in range(_MAX_AROUND):
        yield (text := text.strip())
        if text[-1:] in _PUNCTUATION:
            inner = text[:-1]
        else:
            opened, closed = text[:1] in _OPENING, text[-1:] in _CLOSING
            inner = text[1 if opened else 0 : -1 if closed else None]
            if text[:1] == "<" and text[-1:] == ">":
                inner = text[1:-1]
        if inner == text or not inner:
            return
        text = inner


def _parts(text: str) -> Iterator[str]:
    """Texts of an answer that may be its label: in JSON that is the whole answer, in a fence, behind a key."""
    if (fence := FENCE.search(text)) and not _BEFORE_FENCE.fullmatch(text, 0, fence.start()):
        return
    yield from (block.strip() for block in FENCE.findall(text))
    for found in whole(text):
        values = _said_in(found) if isinstance(found, dict) else [found]
        yield from (written for value in values if (written := _of_json(value)) is not None)
    if (line := _KEY_AND_VALUE.fullmatch(text.strip())) and _says_so(line["key"] or line["tag"]):
        yield line["value"] or line["inner"]


def _says_so(key: str) -> bool:
    """Whether a key says that its value is the label."""
    return _KEY.fullmatch(_words(key)) is not None


def _denies(key: str) -> bool:
    """Whether a key says what something is not."""
    words = _words(key)
    return words in _OTHER_KEYS or _NEGATION.search(words) is not None


def _words(key: str) -> str:
    """The words of a key, parted by blanks."""
    return " ".join(_BETWEEN_WORDS.sub(" ", key.strip(_AROUND_KEY)).casefold().split())


def _said_in(found: Mapping[str, Any]) -> Collection[Any]:
    """The values of a JSON object that may be the label: of its only key, or of keys that say so."""
    if len(found) == 1 and not any(map(_denies, found)):
        return found.values()
    return [value for key, value in found.items() if _says_so(key)]


def _of_json(value: object) -> str | None:
    """A value of JSON as a text; None for one that cannot be a label."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _text(value) if isinstance(value, str | int) else None
