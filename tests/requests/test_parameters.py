"""The parameters of a request, judged before anything is paid for."""

from typing import Any

import pytest

from airflow_provider_kimi.api.catalogue import DEFAULT_MODEL, PARAMETER_RULES
from airflow_provider_kimi.choices import ParameterCheck, RuleOverrides
from airflow_provider_kimi.requests.parameters import ParameterRules, Verdict, thinks, wants_json

OFF: dict[str, Any] = {"thinking": {"type": "disabled"}}
CODE = "kimi-k2.7-code"

#: A body that breaks one published rule, the key of the rule, and what is said of it.
BROKEN: list[Any] = [
    pytest.param({"temperature": 0}, "temperature", "which the model fixes (1.0 with thinking,", id="temperature"),
    pytest.param({"temperature": 1.0}, "temperature", "which the model fixes", id="temperature as it is fixed"),
    pytest.param({"top_p": 0.9}, "top_p", "which the model fixes (0.95)", id="top_p"),
    pytest.param({"n": 2}, "n", "which the model fixes (1)", id="n"),
    pytest.param({"presence_penalty": 1}, "presence_penalty", "which the model fixes (0)", id="presence_penalty"),
    pytest.param({"frequency_penalty": 1}, "frequency_penalty", "which the model fixes (0)", id="frequency_penalty"),
    pytest.param({"stream": True}, "stream", "to True, which Kimi refuses in a batch: a batch cannot", id="stream"),
    pytest.param(
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        "reasoning_effort",
        "beside 'thinking', which the model refuses; keep one of them",
        id="thinking and reasoning_effort",
    ),
    pytest.param(
        {"tool_choice": "required"},
        "tool_choice",
        "to 'required' beside 'thinking enabled', which the model refuses; turn thinking off",
        id="tool_choice beside the default of thinking",
    ),
    pytest.param(
        {"tool_choice": {"type": "function", "function": {"name": "TOPSECRET"}}},
        "tool_choice",
        "to {'type': 'function'} beside 'thinking enabled', which the model refuses; turn thinking off",
        id="a named tool beside the default of thinking",
    ),
]

ALLOWED: list[Any] = [
    pytest.param({}, id="nothing"),
    pytest.param({"stream": False}, id="no stream"),
    pytest.param({"reasoning_effort": "low"}, id="reasoning_effort alone"),
    pytest.param({"tool_choice": "auto"}, id="another tool_choice"),
    pytest.param({"tool_choice": "required", **OFF}, id="tool_choice without thinking"),
    pytest.param({"tool_choice": {"type": "function", "function": {"name": "f"}}, **OFF}, id="a named tool without"),
    pytest.param({"thinking": {"type": "enabled"}}, id="thinking"),
    pytest.param({"seed": 7, "unknown": [1]}, id="keys that no rule names"),
]


def named(count: int) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{number}"}} for number in range(count)]


def judged(parameters: dict[str, Any], model: str = DEFAULT_MODEL, **rules: Any) -> Verdict:
    return ParameterRules(**rules).judge(model, parameters)


@pytest.mark.parametrize(("body", "key", "said"), BROKEN)
def test_the_published_rules_refuse_what_breaks_every_row(body: dict[str, Any], key: str, said: str) -> None:
    (problem,) = judged(body).problems
    assert problem.startswith(f"sets {key!r}")
    assert said in problem


@pytest.mark.parametrize("body", ALLOWED)
def test_the_published_rules_allow_everything_else(body: dict[str, Any]) -> None:
    assert judged(body) == Verdict()


@pytest.mark.parametrize("thinking", [{"type": "disabled"}, *({"type": "disabled", "keep": k} for k in (None, "all"))])
def test_the_published_rules_keep_thinking_on_for_a_model_that_always_thinks(thinking: dict[str, Any]) -> None:
    for model in (CODE, "kimi-k2.7-code-highspeed"):
        (problem,) = judged({"thinking": thinking}, model).problems
        assert "this model always thinks" in problem
    assert judged({"thinking": thinking}).problems == ()
    assert judged({"thinking": {"type": "enabled"}}, CODE).problems == ()


def test_each_published_rule_has_a_test_here_or_among_the_rules_of_messages() -> None:
    tested = {param.values[1] for param in BROKEN} | {"thinking", "reasoning_content"}
    assert tested == {key for rules in PARAMETER_RULES.values() for key in rules}


def test_a_refusal_never_repeats_a_value_that_may_be_a_secret() -> None:
    (problem,) = judged({"temperature": "TOP SECRET"}).problems
    assert "TOP SECRET" not in problem


def test_a_refusal_names_every_problem_of_a_body() -> None:
    assert len(judged({"temperature": 0, "n": 2, "stop": ["a"] * 6}).problems) == 3


@pytest.mark.parametrize(("body", "key", "said"), BROKEN)
def test_the_check_drop_takes_the_key_out(body: dict[str, Any], key: str, said: str) -> None:
    verdict = judged(body, mode="drop")
    assert (verdict.problems, verdict.dropped) == ((), (key,))


@pytest.mark.parametrize(("body", "key", "said"), BROKEN)
def test_the_check_off_sends_the_key(body: dict[str, Any], key: str, said: str) -> None:
    assert judged({**body, "stop": ["a"] * 6, "max_tokens": 1}, mode="off") == Verdict()


def test_the_check_drop_refuses_what_dropping_keys_cannot_fix() -> None:
    verdict = judged({"stop": ["a"] * 6, "n": 2}, mode="drop")
    assert verdict.dropped == ("n",)
    assert verdict.problems == ("has 6 stop texts; 5 are allowed",)


def test_the_check_drop_judges_what_is_left() -> None:
    """Without its `thinking` the body thinks, which makes another key wrong and a cap too low."""
    verdict = judged({**OFF, "tool_choice": "required", "max_tokens": 100}, CODE, mode="drop")
    assert verdict.dropped == ("thinking", "tool_choice")
    assert len(verdict.warnings) == 1


@pytest.mark.parametrize("pattern", ["*", "kimi-*", DEFAULT_MODEL])
def test_a_rule_of_the_user_lifts_a_published_one(pattern: str) -> None:
    rules: RuleOverrides = {pattern: {"temperature": None}}
    assert judged({"temperature": 0}, overrides=rules) == Verdict()
    assert len(judged({"temperature": 0, "n": 2}, overrides=rules).problems) == 1, "and no other"


def test_a_rule_of_the_user_lifts_one_of_a_single_model() -> None:
    rules: RuleOverrides = {"*": {"thinking": None}}
    assert judged(OFF, CODE, overrides=rules).problems == ()


def test_a_rule_of_the_user_adds_one() -> None:
    rules: RuleOverrides = {"my-*": {"seed": {"forbidden": "it is ignored", "values": [7]}}}
    (problem,) = judged({"seed": 7}, "my-model", overrides=rules).problems
    assert problem == "sets 'seed' to 7, which Kimi refuses in a batch: it is ignored; leave it out"
    assert judged({"seed": 8}, "my-model", overrides=rules) == Verdict()
    assert judged({"seed": 7}, overrides=rules) == Verdict(), "another model"


def test_a_rule_of_the_user_changes_one() -> None:
    rules: RuleOverrides = {"*": {"n": {"conflicts": ["tools", "thinking:disabled"]}}}
    assert judged({"n": 2}, overrides=rules) == Verdict()
    assert "beside 'tools'" in judged({"n": 2, "tools": []}, overrides=rules).problems[0]
    assert "beside 'thinking disabled'" in judged({"n": 2, **OFF}, overrides=rules).problems[0]


def test_the_later_of_two_rules_of_the_user_counts() -> None:
    rules: RuleOverrides = {"kimi-*": {"n": None}, "kimi-k2.6": {"n": {"fixed": "1"}}}
    assert len(judged({"n": 2}, overrides=rules).problems) == 1
    assert len(judged({"n": 2}, overrides=dict(reversed([*rules.items()]))).problems) == 0


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"*": {"n": {"fixd": "1"}}}, id="unknown field"),
        pytest.param({"*": {"n": "1"}}, id="text"),
        pytest.param({"*": {"n": {"fixed": 1}}}, id="number"),
        pytest.param({"*": {"n": {"conflicts": "thinking"}}}, id="no list"),
        pytest.param({"*": None}, id="no keys"),
        pytest.param({"temperature": {"fixed": "1"}}, id="no pattern"),
        pytest.param(["temperature"], id="list"),
    ],
)
def test_rules_of_the_user_that_cannot_be_read_are_refused(rules: Any) -> None:
    with pytest.raises(ValueError, match=r"^parameter_rules is .*; it must be a mapping from patterns of models to"):
        ParameterRules(overrides=rules)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({"stop": list("abcdef")}, "has 6 stop texts; 5 are allowed", id="six stops"),
        pytest.param({"stop": "x" * 33}, "has a stop text over 32 bytes", id="long stop"),
        pytest.param({"stop": ["a", "评" * 11]}, "has a stop text over 32 bytes", id="bytes, not characters"),
        pytest.param({"tools": named(129)}, "has 129 tools; 128 are allowed", id="tools"),
        pytest.param({"response_format": {"type": "json"}}, "has a response_format whose type is none", id="json"),
        pytest.param({"response_format": "json_object"}, "has a 'response_format' that is not a mapping", id="text"),
    ],
)
def test_a_body_over_a_limit_is_refused_for_every_model(body: dict[str, Any], problem: str) -> None:
    (found,) = judged(body, "another-model").problems
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "tool",
    [
        *(
            {"type": "function", "function": {"name": name}}
            for name in ("1st", "_TOPSECRET", "-f", "", "TOP SECRET", "f.g")
        ),
        *(
            {"type": "function", "function": {"name": name}}
            for name in ("查询", "f" * 257, "f\n", None, 7, ["TOPSECRET"])
        ),
        *({"type": "function"}, {"function": {}}, {"type": "function", "function": "TOPSECRET"}, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["fail", "drop"])
def test_a_tool_without_a_name_that_the_platform_takes_is_refused_by_its_place(mode: ParameterCheck, tool: Any) -> None:
    (problem,) = judged({"tools": [*named(1), tool]}, mode=mode).problems
    assert problem == (
        "has a tool 2 whose function.name is not a letter, then letters, digits, '_' and '-', 256 characters at most"
    )


def test_two_tools_of_one_name_are_refused() -> None:
    (problem,) = judged({"tools": [*named(2), *named(1)]}).problems
    assert problem == "has a tool 3 with the name of tool 1; each needs its own"


@pytest.mark.parametrize("name", ["f", "look_up-2", "F" * 256])
def test_a_tool_with_a_name_passes_and_one_of_the_platform_has_its_own(name: str) -> None:
    search = {"type": "builtin_function", "function": {"name": "$web_search"}}
    assert judged({"tools": [{"type": "function", "function": {"name": name}}, search, search]}) == Verdict()


@pytest.mark.parametrize("rules", [{"mode": "off"}, {"overrides": {"*": {"tools": None}}}])
def test_the_names_of_tools_are_not_judged_if_the_user_says_so(rules: dict[str, Any]) -> None:
    assert judged({"tools": [{}, *named(1), *named(1)]}, **rules) == Verdict()


@pytest.mark.parametrize(
    "body",
    [
        {"stop": ["x" * 32] * 5},
        {"stop": "评" * 10},
        {"stop": None},
        {"tools": named(128)},
        *({"response_format": {"type": kind}} for kind in ("text", "json_object", "json_schema")),
        {"response_format": None},
    ],
)
def test_a_body_at_the_limit_passes_for_every_model(body: dict[str, Any]) -> None:
    assert judged(body, "another-model") == Verdict()


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_a_cap_that_thinking_may_use_up_is_warned_of_with_the_floor(key: str) -> None:
    """The floor is named, since the answer would be empty and billed."""
    (warning,) = judged({key: 1024}).warnings
    assert warning.startswith(f"{key} covers thinking as well as the answer, and is below 4,096: the answer may come")
    assert judged({key: 1024}).problems == ()


@pytest.mark.parametrize("body", [{"max_tokens": 4096}, {"max_tokens": 10, **OFF}, {"max_tokens": None}, {}])
def test_a_cap_that_suffices_is_not_warned_of(body: dict[str, Any]) -> None:
    assert judged(body) == Verdict()


def test_a_schema_with_an_array_as_its_root_is_warned_of() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}
    (warning,) = judged({"response_format": wanted}).warnings
    assert "array as its root" in warning
    others: list[Any] = [{"type": "object"}, {}, None, []]
    for schema in others:
        assert judged({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}) == Verdict()


@pytest.mark.parametrize(
    ("body", "thinking"), [({}, True), (OFF, False), ({"thinking": None}, True), ({"thinking": "disabled"}, True)]
)
def test_a_model_thinks_unless_thinking_is_disabled(body: dict[str, Any], thinking: bool) -> None:
    assert thinks(body) is thinking


@pytest.mark.parametrize(
    ("wanted", "json"), [({"type": "json_object"}, True), ({"type": "json_schema"}, False), (None, False), ("x", False)]
)
def test_json_mode_is_not_confused_with_a_schema(wanted: object, json: bool) -> None:
    assert wants_json({"response_format": wanted}) is json


def test_a_rule_of_the_user_counts_before_a_published_one_of_a_narrower_pattern() -> None:
    rules = ParameterRules(overrides={"*": {"thinking": None}})
    assert not rules.judge("kimi-k2.7-code", {"thinking": {"type": "disabled"}}).problems


def test_a_rule_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a rule says what is fixed, forbidden, or conflicts, or is needed with tool"):
        ParameterRules(overrides={"*": {"seed": {}}})


@pytest.mark.parametrize(
    "body",
    [
        {"max_completion_tokens": "9000"},
        {"max_completion_tokens": True},
        {"max_completion_tokens": 0},
        {"max_tokens": -1},
        {"thinking": "enabled"},
        {"thinking": {"type": "off"}},
        {"tools": {}},
        {"stop": 3},
        {"stream": "false"},
    ],
    ids=str,
)
def test_a_known_key_of_a_wrong_type_is_refused_and_its_value_not_shown(body: dict[str, Any]) -> None:
    """Jinja makes texts of numbers: `{"max_completion_tokens": "{{ params.cap }}"}`."""
    (problem,) = judged(body, "another-model").problems
    assert problem.startswith(f"has a {next(iter(body))!r} that is not ")


@pytest.mark.parametrize("rules", [ParameterRules("off"), ParameterRules(overrides={"*": {"thinking": None}})])
def test_a_known_key_of_a_wrong_type_is_sent_if_the_user_says_so(rules: ParameterRules) -> None:
    assert rules.judge("kimi-k2.6", {"thinking": {"type": "auto"}}) == Verdict()


def test_a_key_that_is_nearly_a_known_one_is_warned_of() -> None:
    (warning,) = judged({"max_completion_token": 9000}).warnings
    assert warning == (
        "'max_completion_token' is not a known parameter; is 'max_completion_tokens' meant? It is sent as it is"
    )
    assert judged({"seed": 1, "user": "a"}) == Verdict()
