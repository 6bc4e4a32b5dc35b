"""From a prompt, a chat or a table row to one request line."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.validation import RequestCheck
from tests.support.samples import ROW_TEXT

CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
PLAIN = Recipe("kimi-k2.6")
TABLE = Recipe("kimi-k2.6", prompt="Q {a}", system_prompt="S {b}")


def body_of(recipe: Recipe, item: object) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(recipe.way.line(item, "a"))["body"]
    return body


def messages_of(recipe: Recipe, item: object) -> list[Any]:
    messages: list[Any] = body_of(recipe, item)["messages"]
    return messages


def test_a_line_has_the_four_documented_keys() -> None:
    assert (
        PLAIN.way.line("ü", "row-00000007")
        == (
            '{"custom_id":"row-00000007","method":"POST","url":"/v1/chat/completions",'
            '"body":{"model":"kimi-k2.6","messages":[{"role":"user","content":"ü"}]}}'
        ).encode()
    )


@given(text=ROW_TEXT.filter(str.strip))
def test_the_text_of_a_row_stays_data_up_to_the_uploaded_line(text: str) -> None:
    """The line stays one line."""
    line = Recipe("kimi-k2.6", prompt="Classify: {text}").way.line({"text": text}, "a")
    assert b"\n" not in line
    assert json.loads(line)["body"]["messages"] == [{"role": "user", "content": f"Classify: {text}"}]


@given(prompt=ROW_TEXT.filter(str.strip), system=ROW_TEXT.filter(bool))
def test_texts_stand_for_themselves_if_there_is_no_prompt_template(prompt: str, system: str) -> None:
    messages = messages_of(Recipe("kimi-k2.6", system_prompt=system), prompt)
    assert messages == [{"role": "system", "content": system}, {"role": "user", "content": prompt}]


@pytest.mark.parametrize(
    ("recipe", "item", "messages"),
    [
        pytest.param(PLAIN, "u", [{"role": "user", "content": "u"}], id="prompt"),
        pytest.param(PLAIN, CHAT, CHAT, id="chat"),
        pytest.param(PLAIN, tuple(CHAT), CHAT, id="chat as a tuple"),
        pytest.param(
            Recipe("m", system_prompt="S {b}"),
            CHAT,
            [{"role": "system", "content": "S {b}"}, *CHAT],
            id="chat after a system prompt",
        ),
        pytest.param(
            TABLE,
            {"a": 1, "b": 2},
            [{"role": "system", "content": "S 2"}, {"role": "user", "content": "Q 1"}],
            id="both texts are templates over a row",
        ),
    ],
)
def test_a_row_of_each_kind_becomes_chat_messages(recipe: Recipe, item: object, messages: list[object]) -> None:
    assert messages_of(recipe, item) == messages


@pytest.mark.parametrize(
    ("recipe", "item", "problem"),
    [
        pytest.param(PLAIN, "", "makes an empty prompt", id="empty prompt"),
        pytest.param(PLAIN, " \n", "makes an empty prompt", id="prompt of white space"),
        pytest.param(PLAIN, {"a": 1}, "is a table row, and nothing says how to ask about it", id="row, no prompt"),
        pytest.param(PLAIN, [], "is a list; an item is a prompt", id="empty chat"),
        pytest.param(PLAIN, ["a", "b"], "is a list; an item is a prompt", id="list of texts"),
        pytest.param(PLAIN, b"u", "is a bytes; an item is a prompt", id="bytes"),
        pytest.param(PLAIN, None, "is a NoneType; an item is a prompt", id="none"),
        pytest.param(TABLE, "u", "is a str, but prompt is a template over the columns", id="prompt for a template"),
        pytest.param(TABLE, {"a": 1}, "has no column 'b'", id="column of the system prompt"),
        pytest.param(Recipe("m", prompt="{a}"), {"a": ""}, "makes an empty prompt", id="prompt that comes out empty"),
        pytest.param(Recipe("m", prompt="{a}"), {"a": "\n\t"}, "makes an empty prompt", id="or as white space"),
        pytest.param(
            Recipe("m", prompt="{a}{b}", system_prompt="S"),
            {"a": "", "b": ""},
            "makes an empty prompt",
            id="though there is a system prompt",
        ),
        pytest.param(
            Recipe("m", prompt="{a}", system_prompt="{b}"),
            {"a": "x", "b": ""},
            "makes an empty system message; the platform refuses it",
            id="system prompt that comes out empty",
        ),
        pytest.param(Recipe("m", system_prompt=""), "u", "makes an empty system message", id="empty system prompt"),
    ],
)
def test_a_row_of_another_kind_is_refused(recipe: Recipe, item: object, problem: str) -> None:
    with pytest.raises(RowProblem, match=f"^{problem}"):
        recipe.way.line(item, "a")


def test_a_list_of_messages_is_a_template_over_a_row() -> None:
    talk = [{"role": "user", "content": "Q {a}"}, {"role": "assistant", "content": "A"}]
    recipe = Recipe("m", messages=talk, system_prompt="S {b}")
    assert messages_of(recipe, {"a": 1, "b": 2}) == [
        {"role": "system", "content": "S 2"},
        {"role": "user", "content": "Q 1"},
        {"role": "assistant", "content": "A"},
    ]


def test_a_list_of_messages_needs_a_table_row() -> None:
    with pytest.raises(RowProblem, match=r"^is a str, but messages is a template over the columns of a row"):
        Recipe("m", messages=CHAT).way.line("u", "a")


@pytest.mark.parametrize(
    ("made", "messages"),
    [
        pytest.param("{x}", [{"role": "user", "content": "{x}"}], id="text"),
        pytest.param(CHAT, CHAT, id="list"),
        pytest.param(tuple(CHAT), CHAT, id="tuple"),
    ],
)
def test_messages_may_come_from_a_function(made: Any, messages: list[object]) -> None:
    assert messages_of(Recipe("m", messages=lambda row: made), {"x": 1}) == messages


def test_the_system_prompt_beside_a_function_of_messages_stands_unchanged() -> None:
    """What a function makes of a row is not a template, and neither is the system prompt beside it."""
    recipe = Recipe("m", messages=lambda row: row["a"], system_prompt="S {a}")
    assert messages_of(recipe, {"a": "{b}"}) == [
        {"role": "system", "content": "S {a}"},
        {"role": "user", "content": "{b}"},
    ]


def test_a_function_may_make_messages_of_a_row_of_any_kind() -> None:
    assert messages_of(Recipe("m", messages=lambda row: f"Q {row}"), 7) == [{"role": "user", "content": "Q 7"}]


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        pytest.param("", "makes an empty prompt", id="empty text"),
        pytest.param(None, "makes messages return a NoneType", id="nothing"),
        pytest.param([], "is a list", id="empty list"),
    ],
)
def test_a_function_of_messages_may_not_return_anything_else(made: Any, problem: str) -> None:
    with pytest.raises(RowProblem, match=f"^{problem}"):
        Recipe("m", messages=lambda row: made).way.line({}, "a")


@pytest.mark.parametrize("row", [{"a": ""}, {"a": " \t"}, {"a": "", "b": "x"}], ids=["empty", "blank", "unused"])
def test_a_row_without_text_in_any_column_of_the_prompt_is_refused(row: dict[str, str]) -> None:
    """Its answer would be paid for, and say nothing about it."""
    with pytest.raises(RowProblem, match=r"^has no text in any column of the prompt \('a'\)"):
        Recipe("m", prompt="Classify: {a}").way.line(row, "a")


def test_a_row_without_text_is_refused_though_its_line_has_no_template() -> None:
    recipe = Recipe("m", prompt="Classify: {a}", request_params={"user": "\x00hole 0\x00"})
    assert json.loads(recipe.way.line({"a": "x"}, "k"))["body"]["user"] == "\x00hole 0\x00"
    with pytest.raises(RowProblem, match="^has no text in any column of the prompt"):
        recipe.way.line({"a": ""}, "k")


@pytest.mark.parametrize("row", [{"a": "", "b": "x"}, {"a": "", "b": 0}, {"a": " " * 70, "b": "x"}])
def test_a_row_with_text_in_some_column_of_the_prompt_is_sent(row: dict[str, object]) -> None:
    assert Recipe("m", prompt="{a}: {b}").way.line(row, "a")


def test_a_row_without_text_is_sent_if_it_has_a_picture() -> None:
    part = {"type": "image_url", "image_url": {"url": "ms://f"}}
    assert Recipe("m", prompt="Describe. {a}").way.line({"a": ""}, "a", [part])


def test_a_body_has_messages_that_are_templates_and_keys_that_are_not() -> None:
    body = {"messages": [{"role": "user", "content": "Q {a}"}], "user": "{a}"}
    recipe = Recipe("m", body=body, request_params={"max_completion_tokens": 9})
    assert body_of(recipe, {"a": 1}) == {
        "model": "m",
        "max_completion_tokens": 9,
        "messages": [{"role": "user", "content": "Q 1"}],
        "user": "{a}",
    }
    assert body["messages"] == [{"role": "user", "content": "Q {a}"}]


def test_a_body_may_come_from_a_function() -> None:
    recipe = Recipe("m", body=lambda row: {"messages": CHAT, "user": row["a"]})
    assert body_of(recipe, {"a": "{b}"}) == {"model": "m", "messages": CHAT, "user": "{b}"}


@pytest.mark.parametrize("as_function", [True, False])
def test_a_body_decides_over_the_other_parameters(as_function: bool) -> None:
    given = {"model": "own", "messages": [{"role": "user", "content": "{a}"}], "max_completion_tokens": 1}
    recipe = Recipe(
        "m", body=(lambda row: given) if as_function else given, request_params={"max_completion_tokens": 9}
    )
    assert body_of(recipe, {"a": "{a}"}) == given


@pytest.mark.parametrize(("made", "kind"), [(None, "NoneType"), (CHAT, "list"), ("hi", "str")])
def test_a_function_of_bodies_may_only_return_a_mapping(made: Any, kind: str) -> None:
    with pytest.raises(RowProblem, match=f"^makes body return a {kind}; it must be a mapping$"):
        Recipe("m", body=lambda row: made).way.line({}, "a")


@pytest.mark.parametrize("name", ["messages", "body"])
def test_an_error_of_a_function_is_named_by_type_and_line_without_its_text(name: str) -> None:
    def failing(row: Mapping[str, Any]) -> Any:
        raise KeyError("TOP SECRET")

    ways: dict[str, Any] = {name: failing}
    with pytest.raises(RowProblem) as caught:
        Recipe("m", **ways).way.line({"a": "TOP SECRET"}, "a")
    line = failing.__code__.co_firstlineno + 1
    assert str(caught.value) == f"makes {name} raise KeyError in line {line} of test_recipe.py"


def test_a_function_may_say_itself_what_is_wrong_with_the_row() -> None:
    def failing(row: Mapping[str, Any]) -> Any:
        raise RowProblem("is too short")

    with pytest.raises(RowProblem, match=r"^is too short$"):
        Recipe("m", messages=failing).way.line({}, "a")


@pytest.mark.parametrize(
    ("recipe", "item", "trusted"),
    [
        pytest.param(TABLE, {"a": 1}, True, id="prompt over a row"),
        pytest.param(PLAIN, "u", True, id="text"),
        pytest.param(PLAIN, CHAT, False, id="chat"),
        pytest.param(Recipe("m", messages=CHAT), {"a": 1}, False, id="messages over a row"),
        pytest.param(Recipe("m", messages=lambda row: "u"), "u", False, id="messages of a function"),
        pytest.param(Recipe("m", body=lambda row: {}), "u", False, id="body of a function"),
    ],
)
def test_only_rows_that_cannot_make_a_line_wrong_are_trusted(recipe: Recipe, item: object, trusted: bool) -> None:
    assert isinstance(item, recipe.way.trusted) is trusted


@given(a=st.one_of(ROW_TEXT, st.integers()), b=ROW_TEXT, system=st.sampled_from([None, "", "S", "{b}", "{b} "]))
def test_a_line_of_a_trusted_row_would_pass_the_check_of_every_line(a: object, b: str, system: str | None) -> None:
    recipe = Recipe("kimi-k2.6", prompt="{a}", system_prompt=system, request_params={"max_completion_tokens": 9000})
    recipe.check()
    try:
        line = recipe.way.line({"a": a, "b": b}, "k")
    except RowProblem:
        return
    assert RequestCheck("kimi-k2.6", ParameterRules()).passed(line) == ("k", line)
