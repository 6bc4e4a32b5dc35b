"""What makes or passes many requests at once does as the way of a single row does, or leaves it to that."""

import json
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.keys import custom_id_of
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.plain_prompts import PlainPrompts
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.usual_requests import UsualRequests
from airflow_provider_kimi.requests.validation import RequestCheck, is_sound
from tests.support.samples import ROW_TEXT

PROMPTS = ["Q {a}", "{a}", "{a}{b}", "x {a} {b} {a} y", "{{}} {a}", "{a:>5}", "no column"]
VALUES = st.one_of(ROW_TEXT, st.sampled_from(["", " ", "\u2003", "\ud800", "x" * 70]), st.integers(), st.none())
PLAIN = st.text(min_size=1).map(lambda text: f"x{text}").filter(lambda text: text.isprintable())
PLAIN_ROW = st.fixed_dictionaries({"a": PLAIN, "b": PLAIN, "k": st.from_regex(r"[a-z][0-9]{1,3}", fullmatch=True)})
ODD_ROW = st.dictionaries(st.sampled_from("abk"), VALUES, min_size=2)
ROWS = st.lists(PLAIN_ROW, min_size=1, max_size=5) | st.lists(PLAIN_ROW | ODD_ROW, min_size=1, max_size=5)


def plain_prompts(prompt: str, system_prompt: str | None, key_column: Any) -> tuple[Recipe, PlainPrompts | None]:
    recipe = Recipe("kimi-k2.6", prompt=prompt, system_prompt=system_prompt, key_column=key_column)
    return recipe, PlainPrompts.of(recipe.way, key_column)


@given(
    prompt=st.sampled_from(PROMPTS),
    system_prompt=st.sampled_from([None, "S", "S {b}", "{b}", "{b:x}", ""]),
    key_column=st.sampled_from([None, "k"]),
    rows=ROWS,
)
def test_requests_that_are_made_at_once_are_those_that_are_made_one_by_one(
    prompt: str, system_prompt: str | None, key_column: str | None, rows: list[dict[str, Any]]
) -> None:
    recipe, plain = plain_prompts(prompt, system_prompt, key_column)
    requests = plain.requests(rows, 7) if plain else None
    if requests is None:
        return
    ids = [custom_id_of(row, number, key_column) for number, row in enumerate(rows, 7)]
    assert requests.custom_ids == ids
    assert requests.lines == [recipe.way.line(row, one) for row, one in zip(rows, ids, strict=True)]


@pytest.mark.parametrize("prompt", ["Q {a}", "{a}{b} of {a}.", "no column"])
@pytest.mark.parametrize("system_prompt", [None, "S", "S {b}"])
@pytest.mark.parametrize("key_column", [None, "k"])
def test_plain_rows_are_made_at_once_with_each_text_in_its_message(
    prompt: str, system_prompt: str | None, key_column: str | None
) -> None:
    recipe, plain = plain_prompts(prompt, system_prompt, key_column)
    if not any("{" in text for text in (prompt, system_prompt or "")):
        return
    assert plain is not None
    rows = [{"k": "1", "a": "好", "b": "y\n"}, {"k": "2", "a": '"', "b": "{z}"}]
    requests = plain.requests(rows, 1)
    assert requests is not None
    for row, custom_id, line in zip(rows, requests.custom_ids, requests.lines, strict=True):
        said = {message["role"]: message["content"] for message in json.loads(line)["body"]["messages"]}
        expected = {"user": prompt.format(**row)}
        assert said == (expected if system_prompt is None else {**expected, "system": system_prompt.format(**row)})
        assert line == recipe.way.line(row, custom_id)


def test_a_key_that_is_a_member_of_an_enum_of_texts_is_looked_at_alone() -> None:
    class Colour(str, Enum):  # noqa: UP042 - a StrEnum has another text
        RED = "red"

    _, plain = plain_prompts("Q {a}", None, "k")
    assert plain is not None
    assert plain.requests([{"k": Colour.RED, "a": "x"}], 1) is None  # its name is made from "Colour.RED" everywhere


@pytest.mark.parametrize("system_prompt", ["{b}", ""])
def test_a_system_prompt_that_may_be_empty_has_each_row_looked_at(system_prompt: str) -> None:
    _, plain = plain_prompts("Q {a}", system_prompt, None)
    assert plain is None or plain.requests([{"a": "x", "b": ""}], 1) is None


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"k": "2", "a": " ", "b": "b"}, id="blank"),
        pytest.param({"k": "2", "a": 7}, id="a number"),
        pytest.param({"k": "2", "a": "\ud800"}, id="half a character"),
        pytest.param({"k": "2"}, id="no column"),
        pytest.param({"k": "2 3", "a": "x"}, id="a key that is not plain"),
        pytest.param({"k": 2, "a": "x"}, id="a number as its key"),
        pytest.param({"a": "x"}, id="no key"),
        pytest.param(["a"], id="no row"),
    ],
)
def test_one_row_that_is_not_plain_has_each_row_looked_at(row: Any) -> None:
    _, plain = plain_prompts("Q {a}", None, "k")
    assert plain is not None
    assert plain.requests([{"k": "1", "a": "x"}, row], 1) is None


CONTENTS = st.one_of(ROW_TEXT, st.just(""), st.just([{"type": "text", "text": "x"}]), st.none())
BODIES = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "x"]), "content": CONTENTS})
        )
    },
    optional={
        "model": st.sampled_from(["kimi-k2.6", "kimi-k2.5", ""]),
        "max_completion_tokens": st.sampled_from([64, 5000, -1]),
        "temperature": st.sampled_from([1, 0]),
        "top_k": st.just(3),
    },
)
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "custom_id": st.sampled_from(["a", "", "很"]),
            "method": st.sampled_from(["POST"] * 5 + ["GET"]),
            "body": BODIES,
        },
        optional={"url": st.just("/v1/chat/completions"), "row": st.just({})},
    ).map(lambda line: json.dumps(line, ensure_ascii=False).encode("utf-8", "replace")),
    min_size=1,
    max_size=3,
)


@given(lines=LINES, mode=st.sampled_from(["fail", "drop", "off"]))
def test_lines_that_are_passed_at_once_are_those_that_are_passed_one_by_one(lines: list[bytes], mode: Any) -> None:
    check, alone = (RequestCheck(None, ParameterRules(mode)) for _ in range(2))
    custom_ids = UsualRequests(check).passed(lines) if all(map(is_sound, lines)) else None
    if custom_ids is not None:
        assert list(zip(custom_ids, lines, strict=True)) == [alone.passed(line) for line in lines]
        assert (check.warnings, check.model) == (alone.warnings, alone.model)


def test_usual_lines_are_passed_at_once() -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 64}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    check = RequestCheck("kimi-k2.6", ParameterRules())
    assert UsualRequests(check).passed([json.dumps(line).encode()] * 3) == ["a", "a", "a"]
    assert set(check.warnings.values()) == {3}
