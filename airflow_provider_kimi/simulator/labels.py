"""The default responder: it labels a text by word lists, with one of the labels that the prompt names."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from airflow_provider_kimi.simulator.answers import Answer, text_of
from airflow_provider_kimi.simulator.asked_json import asked_json
from airflow_provider_kimi.simulator.label_lists import allowed_labels

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
    """Answer as was asked: with JSON, or with one of the labels that the prompt allows, which word lists decide.

    The same request always gets the same answer.
    """
    prompt, text = _prompt_and_text(request["body"].get("messages", []))
    labels, text = allowed_labels(prompt, text)
    wanted = request["body"].get("response_format")
    if (value := asked_json(wanted, prompt, text, labels, lambda words: _pick(words, text))) is not None:
        return Answer(json.dumps(value, ensure_ascii=False))
    return Answer(_pick(labels, text) if labels else f"{len(text)} characters read.")


def _prompt_and_text(messages: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    instructions = [text_of(m) for m in messages if m.get("role") == "system"]
    texts = [text_of(m) for m in messages if m.get("role") == "user"]
    return "\n".join(instructions), "\n".join(texts)


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
