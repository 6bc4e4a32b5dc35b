"""Answers that have to be one of several labels: a label is taken in any dress, and never guessed."""

import json
import re
from enum import Enum, IntEnum, StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.schema import AnswerSchema, read_schema


class Mood(Enum):
    GOOD = "positive"
    BAD = "negative"


class Tone(StrEnum):
    WARM = "warm"
    COLD = "cold"


class Stars(IntEnum):
    ONE = 1
    TWO = 2


DRESSES = ["{}", "**{}**", "({}),", '"{}"', "【{}】", '{{"label": "{}"}}']


def schema(wanted: Any) -> AnswerSchema:
    read = read_schema(wanted)
    assert read is not None
    return read


def refused(wanted: Any, text: str) -> str:
    with pytest.raises(SchemaMismatch) as caught:
        schema(wanted).read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("positive,", "(positive)", "__positive__", "**positive**;", "[positive]", "«positive»", "<positive>"),
        *("ＰＯＳＩＴＩＶＥ", "（ｐositive）", "“Positive”…", "***_positive_***:", '("positive").', "{positive}"),
        *("Label: positive", "**Answer:** Positive.", "类别：positive", "Sentiment: (positive)"),
        *('{"predictedLabel": "positive", "score": 1}', "FinalAnswer: positive", "‘label’: positive"),
        '{"label": "positive", "confidence": 0.9}',
        '{"confidence": 0.9, "Category": "Positive.", "because": "negative words are absent"}',
        '```json\n{"label": "positive", "score": 1}\n```',
        *('"{positive}"', "\ufeffpositive\u200b"),
        *(
            "positive",
            " positive\n",
            "POSITIVE.",
            '"positive"',
            "**positive**",
            "`positive`",
            "“positive”",
            "positive。",
        ),
        *("```\npositive\n```", "```text\nPositive\n```", '```json\n{"a": "positive"}\n```', "'positive'!"),
    ],
)
def test_a_label_is_taken_in_any_dress(text: str) -> None:
    assert schema(["positive", "negative", "not sure"]).read(text) == "positive"


@pytest.mark.parametrize(
    "text", ["【正面】", "正面，", "《正面》", "「正面」。", "〔正面〕", "正面！", "标签：正面", "正面；"]
)
def test_a_chinese_label_is_taken_in_any_dress(text: str) -> None:
    assert schema(["正面", "负面"]).read(text) == "正面"


@pytest.mark.parametrize(
    "text",
    [
        'It is not {"label": "positive"}',
        'I would say {"label": "positive"}',
        "It is positive.",
        "The answer is: positive",
        "not positive",
        "Label: not positive",
        "Reason: positive",
        "~~positive~~",
        "!positive",
        "positive?",
        "non-positive",
        '{"label": "positive"',
        '{"confidence": 0.9, "because": "positive"}',
        '{"label": ["positive", "negative"]}',
        '{"a": "positive", "b": "negative"}',
        "[1]",
        ".positive",
        *("", "maybe", "positive or negative", "posit", "[]", "null", ".5"),
    ],
)
def test_a_label_among_other_words_is_not_guessed(text: str) -> None:
    reason = r"the answer is none of the 2 labels \(it has \d+ characters?\)"
    assert re.fullmatch(reason, refused(["positive", "negative"], text))


WORDS = st.lists(st.sampled_from(["not", "I", "say", "is", "é", "不", "7", "maybe"]), min_size=1, max_size=3).map(
    " ".join
)


@given(
    label=st.sampled_from(["positive", "negative"]),
    words=WORDS,
    is_before=st.booleans(),
    dress=st.sampled_from(DRESSES),
)
def test_a_label_beside_any_word_is_not_guessed(label: str, words: str, is_before: bool, dress: str) -> None:
    dressed = dress.format(label)
    refused(["positive", "negative"], f"{words} {dressed}" if is_before else f"{dressed} {words}")


@given(
    label=st.sampled_from(["positive", "negative", "not sure"]),
    around=st.text(alphabet=" \n\"'`*_“「【(", max_size=4),
    after=st.text(alphabet=" \n\"'`*_.,。，!：)】", max_size=8),
)
def test_a_label_is_returned_as_it_was_listed(label: str, around: str, after: str) -> None:
    assert schema(("positive", "negative", "not sure")).read(around + label + after) == label


@pytest.mark.parametrize("other", ["answer", "Label", " label", "finalLabel"])
def test_two_keys_that_name_different_labels_are_no_answer(other: str) -> None:
    assert "several" in refused(["positive", "negative"], json.dumps({"label": "positive", other: "negative"}))


def test_two_fences_with_different_labels_are_no_answer() -> None:
    assert "several" in refused(["positive", "negative"], "```\npositive\n```\n```\nnegative\n```")


def test_labels_that_are_alike_stay_apart() -> None:
    """A full-width letter, a case, or a sign makes another label, if it is listed."""
    for labels in (
        ["US", "us"],
        ["Ａ", "A"],
        ["A", "A+", "A-"],
        ["C", "C#", "C++"],
        ["1", "-1"],
        [":)", ":("],
        ["a", "(a)"],
    ):
        both = schema(labels)
        assert [both.read(label) for label in labels] == labels
    refused(["US", "us"], "Us")
    refused(["US", "us"], "ＵＳ")
    refused(["A+", "B"], "A-")
    refused(["A+", "B"], "A")
    refused(["-1", "0"], "1")
    refused([".5", "1"], "5")
    refused([":)", ":("], "...")
    assert schema(["U.S.", "U.K."]).read("U.S") == "U.S."


def test_a_very_long_answer_is_refused_quickly() -> None:
    refused(["positive", "negative"], "*" * 1_000_000 + "positive")


@pytest.mark.parametrize("given", [Mood, Literal["positive", "negative"], Literal[Mood.GOOD, Mood.BAD]])
def test_an_enum_or_a_literal_names_the_labels(given: Any) -> None:
    parsed = schema(given).read("**Positive**")
    assert parsed == "positive"
    assert type(parsed) is str


def test_the_parsed_value_of_an_enum_is_that_of_its_member() -> None:
    assert (schema(Tone).read("Warm!"), schema(Stars).read("2")) == ("warm", 2)
    assert json.dumps([schema(Tone).read("cold"), schema(Stars).read("1")]) == '["cold", 1]'
    refused(Mood, "GOOD")


@pytest.mark.parametrize("text", ["3", "3.", "**3**", "(3)", "３", '"3"', '{"label": 3}', '{"score": 3.0}', "Label: 3"])
def test_a_number_is_taken_as_the_number_that_is_listed(text: str) -> None:
    parsed = schema([1, 2, 3]).read(text)
    assert parsed == 3
    assert type(parsed) is int


@pytest.mark.parametrize("text", ["3/5", "3 stars", "-3", "3.5", "+3", "33", "three", "true", ".3"])
def test_a_number_among_other_signs_is_not_guessed(text: str) -> None:
    refused([1, 2, 3], text)


@pytest.mark.parametrize("text", ["true", "True", "TRUE.", '{"is_spam": true}', "```json\ntrue\n```"])
def test_a_truth_is_taken_as_it_is_listed(text: str) -> None:
    assert schema([True, False]).read(text) is True


@pytest.mark.parametrize("text", ["yes", "1", "t", "untrue", "not true"])
def test_a_truth_in_other_words_is_not_guessed(text: str) -> None:
    refused([True, False], text)


def test_a_number_and_a_truth_are_two_labels() -> None:
    mixed = schema([1, True])
    assert mixed.read("1") is not True
    assert mixed.read("true") is True
    assert "several" in refused([1, True], "```\n1\n```\n```\ntrue\n```")


SYNONYMS = {"positive": ["pos", "好评", "POS"], "negative": ("neg", "差评"), "neutral": []}


@pytest.mark.parametrize(
    ("text", "label"),
    [("pos", "positive"), ("Pos.", "positive"), ("【好评】", "positive"), ("neutral", "neutral"), ("NEG", "negative")],
)
def test_a_synonym_means_its_label(text: str, label: str) -> None:
    assert schema(SYNONYMS).read(text) == label
    assert schema(SYNONYMS).response_format is None


def test_a_synonym_may_mean_a_truth() -> None:
    truths = schema({True: ["yes", "是"], False: ["no", "否"]})
    assert (truths.read("Yes."), truths.read("否"), truths.read("true")) == (True, False, True)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"a": ["x"], "b": ["X"]}, "each text can belong to one of them only"),
        ({"a": ["b"], "b": []}, "each text can belong to one of them only"),
        ({"a": ["ｂ"], "c": ["b"]}, "each text can belong to one of them only"),
        ({"a": [None]}, "synonyms must be texts"),
        ({"a": [""]}, "synonyms must be texts"),
        ({"positive": "pos"}, "leads from each to a list of its synonyms"),
        ({"a": 1}, "leads from each to a list of its synonyms"),
        ({"positive": ["pos"], "not": ["neg"]}, "could be a JSON Schema, or a mapping of labels"),
        ({"title": ["heading"], "body": ["text"]}, "could be a JSON Schema, or a mapping of labels"),
        ([1, "one"], "it must be a list of labels"),
        (Literal["a", True], "it must be a list of labels"),
        ({"a": [], 1: []}, "synonyms must be texts"),
        (["a", "a "], "two labels that are written 'a'"),
        (Literal["a", None], "it must be a list of labels"),
        (Enum("Odd", {"A": 0.5}), "it must be a list of labels"),
        (Enum, "it must be a list of labels"),
        *((wrong, "it must be a list of labels") for wrong in ([], [""], [" "], [0.5], ["a", None], ())),
    ],
    ids=str,
)
def test_labels_that_are_not_clear_are_refused(given: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_schema(given)


@pytest.mark.parametrize(
    "given", [{"enum": ["a", "b"]}, {"type": ["string", "null"]}, {"type": "string"}, {}], ids=repr
)
def test_a_mapping_of_keywords_is_still_a_json_schema(given: dict[str, Any]) -> None:
    assert schema(given).json_schema == given
    assert schema(given).read('"a"') == "a"


@pytest.mark.parametrize(
    "text",
    [
        '{"not": "positive"}',
        '{"error": "positive"}',
        'It is not:\n\nNo. It is not\n```json\n{"label": "positive"}\n```',
        "I would not say\n```\npositive\n```",
    ],
)
def test_a_label_that_the_answer_does_not_give_is_not_taken(text: str) -> None:
    with pytest.raises(SchemaMismatch):
        schema(["positive", "negative"]).read(text)


@pytest.mark.parametrize(
    "key",
    [
        *(
            "not_spam",
            "NOT SPAM",
            "is_not_spam",
            "isNotSpam",
            "non-spam",
            "nonspam",
            "no_spam",
            "spam_not",
            "isn't spam",
        ),
        *("不是垃圾", "非垃圾", "无害", "并非垃圾", "是不是", "没有问题", "_not_spam_", "never_spam"),
    ],
)
def test_the_only_key_is_not_believed_if_it_is_a_negation(key: str) -> None:
    assert "none of the 2 labels" in refused([True, False], json.dumps({key: True}))
    refused(["spam", "ham"], json.dumps({key: "spam"}))


@pytest.mark.parametrize(
    "key", ["spam", "is_spam", "notable", "nose", "North", "isSpam", "垃圾", "是否垃圾", "annotation"]
)
def test_the_only_key_is_believed_whatever_else_it_says(key: str) -> None:
    assert schema([True, False]).read(json.dumps({key: True})) is True


@pytest.mark.parametrize("text", ['Here it is:\n```json\n{"label": "positive"}\n```', '{"intent": "positive"}'])
def test_a_label_that_is_introduced_is_taken(text: str) -> None:
    assert schema(["positive", "negative"]).read(text) == "positive"


@pytest.mark.parametrize("text", ["1²", "²", "①", "½", "1½", "₁", "⑫", "㉑", "⒈", "1②", "¹²"])
def test_a_superscript_or_a_digit_in_a_circle_is_not_the_digit(text: str) -> None:
    assert "none of the" in refused([1, 2, 12, 21], text)
    assert "none of the" in refused(["1", "12", "1/2"], text)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        *(("12", "１２"), ("カナ", "ｶﾅ"), ("ガ", "ｶﾞ"), ("fi", "ﬁ"), ("é", "e\u0301"), ("a b", "a\u00a0b")),
        *(("m²", "M²"), ("①", "①"), ("II", "Ⅱ"), ("strasse", "STRAßE"), ("a b", "ａ\u3000ｂ")),
    ],
)
def test_a_label_is_taken_in_letters_of_any_width_and_composition(label: str, text: str) -> None:
    assert schema([label, "other"]).read(text) == label


@pytest.mark.parametrize(
    "text",
    [
        *(
            "positive negative",
            "positive, negative",
            "positive / negative",
            "**positive** negative",
            "positive (negative)",
        ),
        *(
            '"positive" "negative"',
            "label: positive negative",
            "label: positive, label: negative",
            "positive: negative",
        ),
        *('{"label": "positive"} {"label": "negative"}', '["positive", "negative"]', '{"label": "positive negative"}'),
        *('positive {"label": "negative"}', '{"label": "positive"} negative', "positive ```negative```"),
    ],
)
def test_an_answer_on_one_line_that_holds_two_labels_is_none(text: str) -> None:
    refused(["positive", "negative"], text)


@pytest.mark.parametrize(
    "text",
    [
        *("Final answer: 正面", "final answer: **正面**", "Predicted category: 正面", "Result: 正面"),
        *("情感倾向：正面", "分类结果：正面", "结果：正面", "情感类别：正面。", "最终答案：【正面】"),
        *('"label": "正面"', "“情感”：“正面”", "【标签】：正面", "**情感极性**：正面", "情感分类：`正面`"),
        *("<answer>正面</answer>", "<label> 正面 </label>", "<情感>正面。</情感>"),
        *(
            '{"情感倾向": "正面", "置信度": 0.9}',
            '{"sentiment_label": "正面", "reason": "负面"}',
            '{"分类结果": "正面", "a": 1}',
        ),
    ],
)
def test_a_label_behind_any_word_for_it_is_taken(text: str) -> None:
    assert schema(["正面", "负面"]).read(text) == "正面"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Wrong answer: 正面",
            "Not the label: 正面",
            "错误答案：正面",
            "非标签：正面",
            "The label is not: 正面",
            "例如：正面",
        ),
        *(
            'It is not "label": "正面"',
            "<not>正面</not>",
            "<label>正面</answer>",
            "<label>负面</label><label>正面</label>",
        ),
        *('{"不是": "正面"}', '{"wrong": "正面"}', '{"排除": "正面"}', '{"opposite": "正面"}'),
        *("Label: 正面\nLabel: 负面", '{"label": "负面", "最终标签": "正面"}', "Label: answer: 正面"),
        *('{"label": "正面"', "The label is: 正面", "答案是：正面"),
    ],
)
def test_a_label_behind_a_word_for_something_else_is_not_taken(text: str) -> None:
    refused(["正面", "负面"], text)
