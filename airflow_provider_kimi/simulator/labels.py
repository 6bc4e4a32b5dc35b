"""The default responder: it labels a text by word lists, with one of the labels that the prompt names."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from airflow_provider_kimi.simulator.answers import Answer, text_of

_LABEL_LIST = re.compile(
    r"(?:labels?|one of|categor(?:y|ies)|choose from|标签|选项|类别|之一|一个|回答)[\"'”]?"
    r"(?:\s*(?:\bis\b|\bare\b|\bthese\b|\bthe following\b|是|为|有))*\s*[:：]\s*"
    r"(?P<labels>(?:\s*[-*•]\s+[^\n]+)+|[^.。\n;；:：]+)",
    re.IGNORECASE,
)
#: Every repetition is bounded, so that a long text without labels is read quickly.
_LABEL_PAIR = re.compile(
    r"(?P<labels>[\w-]{1,40}(?:\s?[,，、/|]\s?[\w-]{1,40}){0,40}\s?[,，]?\s?"
    r"(?:[/|]|\bor\b|还是|或者?)\s?[\w-]{1,40})",
    re.IGNORECASE,
)
#: Every such pair holds one of these; a text without them is passed over at once.
_CHOICE = re.compile(r"[/|]|\bor\b|还是|或", re.IGNORECASE)
_COLON = re.compile("[:：]")
_LABEL_SEPARATOR = re.compile(r"\s*(?:[,，、/|\n]|\bor\b|\band\b|还是|或者?)\s*", re.IGNORECASE)
_BULLET = re.compile(r"^\s*[-*•]\s+")
#: Chinese words around a label, with no space between: "请判断是正面还是负面的评论".
_SENTENCE = re.compile(r"^.*(?:是|为|回答|输出|选|填)(?=.)|(?:的|两类|情感|评价|评论|倾向).*$")
#: How a prompt names its labels: a sign that it may, the pattern, and what to strip from each label.
_LABELS = ((_COLON, _LABEL_LIST, _BULLET), (_CHOICE, _LABEL_PAIR, _SENTENCE))

_MOODS = {
    "positive": ("positive", "pos", "good", "正面", "积极", "好评", "正向"),
    "negative": ("negative", "neg", "bad", "负面", "消极", "差评", "负向"),
    "neutral": ("neutral", "mixed", "中性", "中立"),
}
_POSITIVE_WORDS = (
    "good|great|excellent|love|loved|perfect|happy|fast|comfortable|recommend|best|easy|friendly|delicious|clean",
    "不错|很好|喜欢|满意|推荐|很棒|舒服|方便|漂亮|值得|物美价廉|开心|热情|干净|好看|好吃|超值|实用|精美|挺好|划算",
)
_NEGATIVE_WORDS = (
    "bad|terrible|awful|hate|broke|broken|slow|disappointed|refund|worst|dirty|rude|useless|cheap|noisy|late",
    "很差|太差|很烂|失望|垃圾|不好|不满意|不喜欢|不推荐|不建议|坏了|退货|糟糕|很脏|吵|太贵|后悔|不值|难吃|差劲|上当|骗",
)
#: 1 for a positive word, -1 for a negative one.
_FEELINGS = dict.fromkeys("|".join(_POSITIVE_WORDS).split("|"), 1) | dict.fromkeys(
    "|".join(_NEGATIVE_WORDS).split("|"), -1
)
_WORD = re.compile(r"\w+", re.ASCII)
#: Chinese has no spaces between words. Negative first: 不满意 holds 满意.
_CHINESE_FEELING = re.compile(f"{_NEGATIVE_WORDS[1]}|{_POSITIVE_WORDS[1]}")


def label_answer(request: Mapping[str, Any]) -> Answer:
    """Pick one of the labels that the prompt allows, by word lists; the same request always gets the same answer."""
    prompt, text = _prompt_and_text(request["body"].get("messages", []))
    labels, text = _allowed_labels(prompt, text)
    if not labels:
        return Answer(f"{len(text)} characters read.")
    label = _pick(labels, text)
    wanted = request["body"].get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        return Answer(json.dumps({"label": label}, ensure_ascii=False))
    return Answer(label)


def _prompt_and_text(messages: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    instructions = [text_of(m) for m in messages if m.get("role") == "system"]
    texts = [text_of(m) for m in messages if m.get("role") == "user"]
    return "\n".join(instructions), "\n".join(texts)


def _allowed_labels(prompt: str, text: str) -> tuple[list[str], str]:
    """Return the labels, and the text without the list of them."""
    for labels, _ in _label_lists(prompt):
        return labels, text
    for labels, (start, end) in _label_lists(text):
        return labels, text[:start] + text[end:]
    return [], text


def _label_lists(source: str) -> Iterator[tuple[list[str], tuple[int, int]]]:
    """Find every list of labels, and where it stands."""
    for sign, pattern, around in _LABELS:
        for found in pattern.finditer(source) if sign.search(source) else ():
            if len(labels := _split_labels(found["labels"], around)) > 1:
                yield labels, found.span()


def _split_labels(listed: str, around: re.Pattern[str]) -> list[str]:
    parts = (around.sub("", part).strip(" \t\"'`[](){}<>“”‘’") for part in _LABEL_SEPARATOR.split(listed))
    return list(dict.fromkeys(part for part in parts if part))


def _pick(labels: list[str], text: str) -> str:
    lowered = text.lower()
    words = chain(_WORD.findall(lowered), _CHINESE_FEELING.findall(lowered))
    score = sum(_FEELINGS.get(word, 0) for word in words)
    mood = "positive" if score > 0 else "negative" if score < 0 else "neutral"
    for wanted in (mood, "positive"):
        for label in labels:
            if label.lower() in _MOODS[wanted]:
                return label
    mentioned = [label for label in labels if label.lower() in lowered]
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return (mentioned or labels)[digest[0] % len(mentioned or labels)]
