"""Parameters of every request: what is refused before anything is sent, what is warned of, and what is passed on."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.choices import ParameterCheck, Thinking
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe

TALK = [{"role": "user", "content": "{a}"}]
JSON_MODE = {"response_format": {"type": "json_object"}}


def refusal(recipe: Recipe) -> str:
    with pytest.raises(KimiInputError) as caught:
        recipe.check()
    assert "Nothing was sent." in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty"])
def test_a_parameter_that_the_model_fixes_is_refused_before_anything_is_sent(key: str) -> None:
    """A temperature makes every row of the batch fail."""
    message = refusal(Recipe("kimi-k2.6", request_params={key: 1}))
    assert message.startswith(f"request_params sets '{key}', which the model fixes (")


def test_streaming_is_refused() -> None:
    message = refusal(Recipe("m", request_params={"stream": True}))
    assert message.startswith("request_params sets 'stream' to True, which Kimi refuses in a batch: a batch cannot")


def test_reasoning_effort_beside_thinking_is_refused() -> None:
    """Both together make every row fail."""
    expected = " sets 'reasoning_effort' beside 'thinking', which the model refuses; keep one of them."
    params = {"reasoning_effort": "low", "thinking": {"type": "enabled"}}
    assert refusal(Recipe("m", request_params=params)).startswith(f"request_params{expected}")
    params = {"reasoning_effort": "low"}
    message = refusal(Recipe("m", request_params=params, thinking="enabled"))
    assert message.startswith(f"request_params{expected}")


def test_all_problems_of_the_parameters_are_named_at_once() -> None:
    message = refusal(Recipe("m", request_params={"temperature": 0, "top_p": 1}))
    assert "sets 'temperature'" in message
    assert " and sets 'top_p'" in message


@pytest.mark.parametrize(("key", "source"), [("model", "the model parameter"), ("messages", "the input, with")])
def test_a_parameter_that_is_set_elsewhere_is_refused(key: str, source: str) -> None:
    expected = f"request_params has '{key}', which {source}"
    assert refusal(Recipe("m", request_params={key: "x"})).startswith(expected)


def test_all_other_parameters_are_sent() -> None:
    params = {"max_completion_tokens": 64, "thinking": {"type": "disabled"}, "stream": False}
    recipe = Recipe("m", system_prompt="{", request_params=params)
    recipe.check()
    assert json.loads(recipe.way.line("u", "a"))["body"] == {
        "model": "m",
        "messages": [{"role": "system", "content": "{"}, {"role": "user", "content": "u"}],
        **params,
    }


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        pytest.param("drop", {"max_completion_tokens": 64}, id="dropped"),
        pytest.param("off", {"temperature": 0, "max_completion_tokens": 64}, id="sent all the same"),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_dropped_or_sent_if_the_user_says_so(
    mode: ParameterCheck, sent: dict[str, object]
) -> None:
    params = {"temperature": 0, "max_completion_tokens": 64}
    recipe = Recipe("m", request_params=params, rules=ParameterRules(mode))
    recipe.check()
    body = json.loads(recipe.way.line("u", "a"))["body"]
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == sent


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(Recipe("m", prompt="{"), id="prompt"),
        pytest.param(Recipe("m", prompt="{a}", system_prompt="{}"), id="system prompt"),
        pytest.param(Recipe("m", messages=TALK, system_prompt="{}"), id="system prompt of messages"),
        pytest.param(Recipe("m", messages=[{"role": "user", "content": "{"}]), id="messages"),
        pytest.param(Recipe("m", body={"messages": [{"role": "user", "content": "{"}]}), id="messages of a body"),
    ],
)
def test_a_template_that_is_not_valid_is_refused(recipe: Recipe) -> None:
    assert refusal(recipe).startswith("The prompt template")


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(Recipe("m", system_prompt="{"), id="system prompt of prompts and chats"),
        pytest.param(Recipe("m", messages=lambda row: "u", system_prompt="{"), id="and of a function"),
    ],
)
def test_a_text_that_is_not_a_template_may_hold_any_brace(recipe: Recipe) -> None:
    recipe.check()


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        pytest.param({"prompt": "{a}", "messages": TALK}, "prompt and messages", id="prompt, messages"),
        pytest.param({"prompt": "", "body": {}}, "prompt and body", id="though both are empty"),
        pytest.param({"messages": lambda row: "u", "body": lambda row: {}}, "messages and body", id="functions"),
        pytest.param({"prompt": "x", "messages": TALK, "body": {}}, "prompt and messages and body", id="all"),
    ],
)
def test_more_than_one_parameter_that_says_what_to_ask_is_refused(parameters: dict[str, Any], names: str) -> None:
    assert refusal(Recipe("m", **parameters)).startswith(f"{names} are given; each of them says what to ask.")


def test_a_system_prompt_beside_a_body_is_refused() -> None:
    assert refusal(Recipe("m", body={}, system_prompt="S")).startswith("system_prompt is given beside body, ")


def test_thinking_that_is_given_twice_is_refused() -> None:
    recipe = Recipe("m", thinking="disabled", request_params={"thinking": {"type": "enabled"}})
    assert refusal(recipe).startswith("thinking is given, and request_params has it too.")


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"messages": "{a}"}, "messages is not a list", id="messages as text"),
        pytest.param({"messages": b"{a}"}, "messages is not a list", id="messages as bytes"),
        pytest.param({"messages": TALK[0]}, "messages is not a list", id="one message"),
        pytest.param({"messages": 7}, "messages is not a list", id="a number"),
        pytest.param({"body": "{a}"}, "body has no list of messages", id="body as text"),
        pytest.param({"body": TALK}, "body has no list of messages", id="messages as body"),
        pytest.param({"body": {"messages": "{a}"}}, "body has no list of messages", id="messages of body as text"),
        pytest.param({"body": {"user": "u"}}, "body has no list of messages", id="body without messages"),
    ],
)
def test_messages_or_a_body_of_a_wrong_type_are_refused(parameters: dict[str, Any], problem: str) -> None:
    assert refusal(Recipe("m", **parameters)).startswith(f"{problem}. Nothing was sent. messages is a list of")


@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
def test_thinking_is_part_of_every_body(thinking: Thinking) -> None:
    recipe = Recipe("m", thinking=thinking, request_params={"user": "x"})
    recipe.check()
    body = json.loads(recipe.way.line("u", "a"))["body"]
    assert (body["thinking"], body["user"]) == ({"type": thinking}, "x")


def test_thinking_is_left_to_the_model_if_it_is_not_given() -> None:
    assert "thinking" not in json.loads(Recipe("m").way.line("u", "a"))["body"]


def test_thinking_cannot_be_turned_off_if_the_model_always_thinks() -> None:
    message = refusal(Recipe("kimi-k2.7-code", thinking="disabled"))
    assert "sets 'thinking' to {'type': 'disabled'}, which Kimi refuses in a batch: this model always" in message


@pytest.mark.parametrize(
    ("parameters", "warned"),
    [
        pytest.param({"prompt": "Label {a}"}, True, id="prompt without the word"),
        pytest.param({"prompt": "Label {a} as JSON"}, False, id="prompt"),
        pytest.param({"prompt": "{a}", "system_prompt": "Answer in json."}, False, id="system prompt"),
        pytest.param({"prompt": "{a}", "system_prompt": "Be brief."}, True, id="neither of them"),
        pytest.param({"messages": TALK}, True, id="messages without the word"),
        pytest.param({"messages": [{"role": "user", "content": "{a} as Json"}]}, False, id="messages"),
        pytest.param({"body": {"messages": TALK}}, True, id="body without the word"),
        pytest.param({"messages": lambda row: "u"}, False, id="a function, whose words are unknown"),
        pytest.param({}, False, id="prompts, whose words are unknown"),
    ],
)
def test_json_mode_that_no_message_mentions_is_warned_of(parameters: dict[str, Any], warned: bool) -> None:
    warnings = Recipe("m", request_params=JSON_MODE, **parameters).lint()
    assert any("no message says so" in warning for warning in warnings) is warned


def test_json_mode_in_a_body_is_warned_of_too() -> None:
    assert Recipe("m", body={"messages": TALK, **JSON_MODE}).lint()
    assert not Recipe("m", body={"messages": TALK}).lint()


def test_nothing_is_warned_of_without_json_mode() -> None:
    assert Recipe("m", prompt="{a}", request_params={"response_format": {"type": "text"}}).lint() == []


def test_a_cap_that_thinking_may_use_up_is_warned_of_for_the_task() -> None:
    """A cap that thinking may use up."""
    (warning,) = Recipe("m", prompt="{a}", request_params={"max_completion_tokens": 1024}).lint()
    assert warning.startswith("max_completion_tokens covers thinking as well as the answer")
    params = {"max_completion_tokens": 1024}
    assert Recipe("m", prompt="{a}", request_params=params, thinking="disabled").lint() == []


@pytest.mark.parametrize("beside", [{"thinking": "disabled"}, {"request_params": {"stop": ["x"]}}])
def test_what_body_sets_may_not_be_set_beside_it(beside: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": "{a}"}], "thinking": {"type": "enabled"}, "stop": ["y"]}
    with pytest.raises(KimiInputError, match="Keep one"):
        Recipe("kimi-k2.6", body=body, **beside).check()


def test_a_function_that_returns_one_message_is_refused_with_what_it_must_return() -> None:
    recipe = Recipe("kimi-k2.6", messages=lambda row: {"role": "user", "content": "hi"})
    with pytest.raises(RowProblem, match="makes messages return a dict; it must be a list of messages"):
        recipe.way.line({}, "a")


@pytest.mark.parametrize("none", ["", [], 1, [1], ["a", ""], {"a": 1}])
def test_a_key_column_that_names_no_column_is_refused(none: Any) -> None:
    with pytest.raises(KimiInputError, match="^key_column is "):
        Recipe("kimi-k2.6", prompt="{a}", key_column=none).check()


def test_parameters_are_judged_with_the_body_that_they_join() -> None:
    body = {"messages": [{"role": "user", "content": "{a}"}], "thinking": {"type": "disabled"}}
    Recipe("kimi-k2.6", body=body, request_params={"tool_choice": "required"}).check()


def test_media_columns_are_refused_beside_ready_requests() -> None:
    with pytest.raises(KimiInputError, match="image_column or video_column would have no effect"):
        Recipe("kimi-k2.6").check_unused({"photo": "image"})


@pytest.mark.parametrize(
    "ways",
    [
        {"prompt": "Classify the text."},
        {"prompt": "Classify.", "system_prompt": "Be brief."},
        {"messages": [{"role": "user", "content": "Classify {{a}}."}]},
        {"body": {"messages": [{"role": "user", "content": "Classify."}]}},
    ],
    ids=["prompt", "system prompt", "messages", "body"],
)
def test_a_text_without_a_column_is_refused_because_every_row_would_ask_the_same(ways: dict[str, Any]) -> None:
    message = refusal(Recipe("kimi-k2.6", **ways))
    assert message.startswith(f"{next(iter(ways))} names no column, so that every row would be paid for")
    assert ("{{a}} is literal text. Write a column" in message) is ("messages" in ways)


@pytest.mark.parametrize(
    "ways", [{"prompt": "Sort.", "system_prompt": "About {a}."}, {"messages": lambda row: "Sort."}, {"body": dict}]
)
def test_a_text_without_a_column_is_accepted_if_another_text_or_a_function_tells_rows_apart(
    ways: dict[str, Any],
) -> None:
    Recipe("kimi-k2.6", **ways).check()


def test_a_text_without_a_column_is_accepted_if_a_picture_tells_rows_apart() -> None:
    Recipe("kimi-k2.6", prompt="Describe the picture.").check(["photo"])


@pytest.mark.parametrize("params", ["max_completion_tokens", [("a", 1)]], ids=["text", "list"])
def test_request_params_that_are_not_a_mapping_are_refused(params: Any) -> None:
    assert refusal(Recipe("kimi-k2.6", request_params=params)).startswith("request_params is a ")


def test_a_refusal_names_the_parameter_that_is_wrong() -> None:
    assert refusal(Recipe("kimi-k2.7-code", prompt="{a}", thinking="disabled")).startswith(
        "thinking sets 'thinking' to"
    )


@pytest.mark.parametrize(
    ("params", "way_out"),
    [
        ({"tools": [{"type": "function", "function": {"name": "get weather"}}]}, "'off' to send it as it is."),
        ({"stop": ["a"] * 6}, "'off' to send it as it is."),
        ({"top_p": 1}, "'drop' to leave out what the model does not take."),
        ({"top_p": 1, "stop": ["a"] * 6}, "'drop' to leave out what the model does not take."),
        ({"max_tokens": "5"}, "'off' to send it as it is. A number that Jinja renders is text."),
    ],
    ids=["tools", "stop", "top_p", "both", "text"],
)
def test_a_refusal_names_the_check_that_would_let_it_pass(params: dict[str, Any], way_out: str) -> None:
    message = refusal(Recipe("kimi-k2.6", prompt="{a}", request_params=params))
    assert message.endswith(f"Nothing was sent. Correct it, or set parameter_check={way_out}")


def test_a_parameter_that_is_taken_out_of_every_request_is_reported() -> None:
    recipe = Recipe("kimi-k2.6", prompt="{a}", request_params={"top_p": 1}, rules=ParameterRules("drop"))
    assert recipe.lint() == ["'top_p' is taken out of every request, because the model does not take it"]
