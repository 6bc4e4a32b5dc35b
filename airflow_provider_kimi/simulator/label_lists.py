"""Lists of labels in a prompt: behind a colon, in quotes, among words, in brackets, or as a range of numbers."""

import re
from collections.abc import Iterator

#: Every repetition is bounded, so that a long text without labels is read quickly.
_LABEL_PAIR = re.compile(
    r"(?P<labels>[\w-]{1,40}(?:\s?[,，、/|]\s?[\w-]{1,40}){0,40}\s?[,，]?\s?"
    r"(?:[/|]|\bor\b|还是|或者?)\s?[\w-]{1,40})",
    re.IGNORECASE,
)
#: Every such pair holds one of these; a text without them is passed over at once.
_CHOICE = re.compile(r"[/|]|\bor\b|还是|或", re.IGNORECASE)
_COLON = re.compile("[:：]")
_QUOTE = re.compile("[\"'`“‘「【]")
_COMMA = re.compile("[,，、;；]")

_BULLETS = r"(?:\s*(?:[-*•]|\d{1,2}[.)、])\s*[^\n]{1,200})+"

_LEAD_AND_COLON = re.compile(
    r"(?:labels?|one of|categor(?:y|ies)|class(?:es)?|options?|choose|pick|select|allowed|valid"
    r"|标签|选项|类别|选择|分类|归类|可选|取值|之一|一个|回答|分为.类|[一二两三四五六七八九十]类)[^:：\n.。]{0,30}[:：]"
    rf"(?P<labels>{_BULLETS}|\s*[^.。\n:：]{{1,400}})",
    re.IGNORECASE,
)
_QUOTED_ITEM = (
    r"(?:\"[^\"\n:]{1,40}\"|'[^'\n:]{1,40}'|`[^`\n:]{1,40}`|“[^”\n]{1,40}”|‘[^’\n]{1,40}’|「[^」\n]{1,40}」"
    r"|【[^】\n]{1,40}】)(?!\s*[:：])"
)
_QUOTED = re.compile(
    r"(?<!keys )(?<!fields )(?<!字段)"
    rf"(?P<labels>{_QUOTED_ITEM}(?:\s?[,，、/|;；]?\s?(?:\bor\b|\band\b|和|与|或者?|还是)?\s?{_QUOTED_ITEM}){{1,40}})",
    re.IGNORECASE,
)
_ITEM = r"[\w+#&'-]{1,30}(?: [\w+#&'-]{1,30}){0,3}"
_ITEMS = rf"{_ITEM}(?:\s?[,，、;；/|]\s?{_ITEM}){{1,40}}"
_AMONG_WORDS = re.compile(
    r"(?:\bone of(?: the)?(?: following| categories| labels| classes| options)?"
    r"|\bclassif(?:y|ied)\b[^.\n,]{0,40}?\b(?:as|into)(?: one of(?: the)?)?"
    r"|\bbetween|\bamong|\bis (?:it|this|that)(?: an?)?"
    r"|\b(?:categories|labels|classes|options|answers)(?: are| include)?"
    rf"|[在从])\s?(?P<labels>{_ITEMS})",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(
    r"(?:label|categor|class|option|answer|sentiment|choose|类|标签|选)[^()（）\n]{0,30}"
    rf"[(（](?P<labels>{_ITEMS})[)）]",
    re.IGNORECASE,
)
_BRACKET = re.compile("[(（]")
_RANGE = re.compile(
    r"(?:\brate\b|\bscore\b|\bstars?\b|\brating\b|打分|评分|星)[^.。\n\d]{0,40}"
    r"(?P<low>\d{1,2})\s?(?:-|–|~|to|到|至)\s?(?P<high>\d{1,2})(?!\d)",
    re.IGNORECASE,
)

_LABEL_SEPARATOR = re.compile(r"\s*(?:[,，、/|\n;；]|\bor\b|\band\b|还是|或者?)\s*", re.IGNORECASE)
_QUOTED_SEPARATOR = re.compile(rf"({_QUOTED_ITEM})", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.)、]\s*)")
#: What a line of a list says of its label.
_DESCRIPTION = re.compile(r"\s*(?:[:：(（]|\s[-–—]\s).*$")
#: Chinese words around a label, with no space between: "请判断是正面还是负面的评论".
_SENTENCE = re.compile(r"^.*(?:是|为|回答|输出|选|填)(?=.)|(?:的|两类|情感|评价|评论|倾向).*$")
#: Words behind a list: "在计费、物流、其他中选择一个".
_CHOOSING = re.compile(r"(?:之?中|里)(?:选|挑|任).*$")
#: How a prompt names its labels: a sign that it may, the pattern, and what to strip from each label.
_FORMS = (
    (_QUOTE, _QUOTED, _BULLET),
    (_COLON, _LEAD_AND_COLON, _BULLET),
    (_BRACKET, _IN_BRACKETS, _BULLET),
    (_COMMA, _AMONG_WORDS, _CHOOSING),
    (_CHOICE, _LABEL_PAIR, _SENTENCE),
)
_MAX_LABEL_CHARS = 60


def allowed_labels(prompt: str, text: str) -> tuple[list[str], str]:
    """Return the labels, and the text without the list of them."""
    for labels, _ in _label_lists(prompt):
        return labels, text
    for labels, (start, end) in _label_lists(text):
        return labels, text[:start] + text[end:]
    return [], text


def _label_lists(source: str) -> Iterator[tuple[list[str], tuple[int, int]]]:
    """Find every list of labels, and where it stands."""
    for sign, pattern, around in _FORMS:
        for found in pattern.finditer(source) if sign.search(source) else ():
            if len(labels := _split(found["labels"], around)) > 1:
                yield labels, found.span()
    for found in _RANGE.finditer(source):
        if (low := int(found["low"])) < (high := int(found["high"])):
            yield [str(number) for number in range(low, high + 1)], found.span()


def _split(listed: str, around: re.Pattern[str]) -> list[str]:
    if _BULLET.match(listed):
        parts = [_DESCRIPTION.sub("", _BULLET.sub("", line)) for line in listed.splitlines()]
    elif around is _BULLET and len(quoted := _QUOTED_SEPARATOR.findall(listed)) > 1:
        parts = quoted
    else:
        parts = [around.sub("", part) for part in _LABEL_SEPARATOR.split(listed)]
    stripped = (part.strip(" \t\r\"'`[](){}<>“”‘’「」【】*") for part in parts)
    return list(dict.fromkeys(part for part in stripped if part and len(part) <= _MAX_LABEL_CHARS))
