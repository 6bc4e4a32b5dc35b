"""The rows that the benchmarks measure: Chinese and English reviews in turn, of one size, as no sample file is.

They need nothing from outside, and hold nothing that any contender cannot read.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

MODEL = "kimi-k2.6"
SYSTEM_PROMPT = "You label product reviews. Answer with exactly one of: positive, negative."
PROMPT = "Is this review positive or negative?\n\n{text}"
MAX_COMPLETION_TOKENS = 64

#: UTF-8 bytes of one text. With the request around it, 50,000 of them stay just below the 100 MB of one file.
TEXT_BYTES = 1660

#: Texts that differ. Rows repeat them under keys of their own, since no contender looks for repetition.
DISTINCT_TEXTS = 2000

ENGLISH = (
    "I bought this for my parents and they use it every day.",
    'The manual says "easy to install", which took me two evenings and a call to the help line.',
    "Battery life is fine: about six hours with Wi-Fi on, eight without.",
    "Arrived a day early, well packed, and the colour is exactly as in the photos.",
    "The room was clean but smelled of smoke; reception would not move us until we asked for the manager.",
    "For $39.99 you cannot expect much, and indeed you do not get much.",
    "Would I order it again? Probably not, although the seller was polite and refunded the shipping.",
    "It's lighter than the old model & the keyboard doesn't flex any more.\n",
    "Third one I own \u2014 the first two still work after five years.",
    "Screen has a dead pixel at the upper left corner; support asked for a picture and then never answered.",
)

CHINESE = (
    "给爸妈买的，他们每天都在用，操作很简单。",
    "说明书写着“安装方便”，结果我折腾了两个晚上，还打了一次客服电话。",
    "续航还行：开着无线大概六个小时，关掉能用八个小时。",
    "比预计早到一天，包装结实，颜色和图片完全一样。",
    "房间很干净，但有烟味；前台一直不给换，找了经理才同意。",
    "39.9 元的东西，不能要求太多，确实也就这样。",
    "还会再买吗？大概不会了，不过卖家态度很好，运费也退了。",
    "比旧款轻，键盘按下去也不再晃了，值得推荐！\n",
    "这是我的第三台——前两台用了五年还好好的。",
    "屏幕左上角有个坏点，客服要了照片之后就再也没有回复。",
)


def write_ready(path: Path, rows: int) -> int:
    """Write a Kimi-ready file of these rows, and return its size."""
    return _write(path, (request_of(row) for row in _rows(rows)))


def write_table(path: Path, rows: int) -> int:
    """Write a table of `review_id` and `text`, and return its size."""
    return _write(path, _rows(rows))


def request_of(row: dict[str, Any]) -> dict[str, Any]:
    """Make the request that the operator makes of a row of the table."""
    messages = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": PROMPT.format(text=row["text"])},
    ]
    body = {"model": MODEL, "messages": messages, "max_completion_tokens": MAX_COMPLETION_TOKENS}
    return {"custom_id": row["review_id"], "method": "POST", "url": "/v1/chat/completions", "body": body}


def _write(path: Path, items: Iterator[dict[str, Any]]) -> int:
    with path.open("wb") as target:
        for item in items:
            target.write(msgspec.json.encode(item) + b"\n")
    return path.stat().st_size


def _rows(count: int) -> Iterator[dict[str, Any]]:
    texts = texts_of(TEXT_BYTES)
    for number in range(count):
        yield {"review_id": f"r{number:07d}", "text": texts[number % len(texts)]}


def texts_of(size: int) -> list[str]:
    """Distinct texts of about a number of bytes, Chinese and English in turn."""
    chance = random.Random(20261123)
    return [_text(chance, ENGLISH if number % 2 else CHINESE, size) for number in range(DISTINCT_TEXTS)]


def _text(chance: random.Random, sentences: Sequence[str], size: int) -> str:
    """Join sentences until the size is reached; a character that is cut in two is left out, and blanks fill up."""
    text = b""
    while len(text) < size:
        text += chance.choice(sentences).encode() + b" "
    return text[:size].decode(errors="ignore")
