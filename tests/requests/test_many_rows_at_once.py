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
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.usual_requests import UsualRequests
from airflow_provider_kimi.requests.validation import RequestCheck, unreadable_text
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
PLAIN_CONTENTS = PLAIN.map(lambda text: [{"role": "user", "content": text}])
ODD_CONTENTS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "x"]), "content": CONTENTS}), max_size=2
)
VALUES_OF: dict[str, list[Any]] = {
    "model": ["kimi-k2.6", "kimi-k2.5", "", "\ud800", 7],
    "max_completion_tokens": [64, 64.0, 5000, -1, None, True, "\udc00"],
    "stream": [True, 1, False, None],
    "prompt_cache_key": ["a", "", "\ud800", 1],
    "temperature": [1, 1.0, True, 0, "\ud800"],
    "thinking": [{"type": "disabled"}, {"type": "enabled"}, {"type": "\ud800"}, {"type": 1}, {}],
    "stop": [["a"], "a", ["\udfff"], [1], None],
    "tools": [[], ["\udfff"], None],
    "top_k": [3],
    "row": [{}],
}
PLAIN_BODY = [
    ("model", "kimi-k2.6"),
    ("max_completion_tokens", 64),
    ("thinking", {"type": "disabled"}),
    ("temperature", 1),
]
ODD_PAIR = st.sampled_from(sorted(VALUES_OF)).flatmap(
    lambda key: st.tuples(st.just(key), st.sampled_from(VALUES_OF[key]))
)


def text_of(pairs: list[tuple[str, Any]], *, ascii_only: bool) -> str:
    """An object that may hold a key twice."""
    shown = (f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=ascii_only)}" for key, value in pairs)
    return f"{{{','.join(shown)}}}"


def request_line(body: list[tuple[str, Any]], ascii_only: bool = True, **others: Any) -> bytes:
    names = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"} | others
    head = text_of([*names.items()], ascii_only=ascii_only)
    line = f'{head[:-1]},"body":{text_of(body, ascii_only=ascii_only)}}}'
    return line.encode("utf-8", "surrogatepass")


@st.composite
def request_lines(draw: st.DrawFn) -> list[bytes]:
    """Lines with the same parameters, and one thing that is odd in one of them."""
    shared = PLAIN_BODY[: draw(st.integers(1, 4))]
    ascii_only = draw(st.booleans())
    bodies = [[*shared, ("messages", draw(PLAIN_CONTENTS))] for _ in range(draw(st.integers(1, 3)))]
    body, others, end = bodies[draw(st.integers(0, len(bodies) - 1))], {}, b""
    match draw(st.sampled_from(["nothing", "pair", "pair", "messages", "name", "end"])):
        case "pair":
            body.insert(draw(st.integers(0, len(body))), draw(ODD_PAIR))
        case "messages":
            body[-1] = ("messages", draw(ODD_CONTENTS))
        case "name":
            others = {
                draw(st.sampled_from(["custom_id", "method", "url", "row"])): draw(st.sampled_from(["", "\ud800"]))
            }
        case "end":
            end = draw(st.sampled_from([b"\r", b" ", b"{}"]))
    return [request_line(one, ascii_only, **(others if one is body else {})) + end for one in bodies]


def passed_alone(check: RequestCheck, line: bytes) -> tuple[str, bytes]:
    if problem := unreadable_text(line):
        raise RowProblem(problem)
    return check.passed(line)


@given(lines=request_lines(), mode=st.sampled_from(["fail", "drop", "off"]))
def test_lines_that_are_passed_at_once_are_those_that_are_passed_one_by_one(lines: list[bytes], mode: Any) -> None:
    check, alone = (RequestCheck(None, ParameterRules(mode)) for _ in range(2))
    custom_ids = UsualRequests(check).passed(lines)
    if custom_ids is not None:
        assert list(zip(custom_ids, lines, strict=True)) == [passed_alone(alone, line) for line in lines]
        assert (check.warnings, check.model) == (alone.warnings, alone.model)


USUAL = [*PLAIN_BODY, ("messages", [{"role": "user", "content": "x"}])]


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(("model", "kimi-k2.7-code"), id="another model"),
        pytest.param(("max_completion_tokens", 65), id="another number"),
        pytest.param(("max_completion_tokens", 64.0), id="the same number, written otherwise"),
        pytest.param(("temperature", True), id="what Python takes for the same"),
        pytest.param(("thinking", {"type": "enabled"}), id="another kind of thinking"),
        pytest.param(("top_k", 3), id="a parameter that is not known"),
        pytest.param(("messages", [{"role": "user", "content": ""}]), id="an empty text"),
        pytest.param(("messages", [{"role": "x", "content": "x"}]), id="a role that is not known"),
        pytest.param(("messages", []), id="no message"),
    ],
)
def test_one_line_with_something_else_has_each_line_looked_at(pair: tuple[str, Any]) -> None:
    usual = UsualRequests(RequestCheck(None, ParameterRules("off")))
    assert usual.passed([request_line(USUAL)] * 2) == ["a", "a"]
    assert usual.passed([request_line(USUAL), request_line([*USUAL, pair])]) is None


def test_values_that_python_takes_for_the_same_are_looked_at_one_by_one() -> None:
    lines = [request_line([*USUAL, ("thinking", {"budget": budget})]) for budget in (1, True)]
    assert UsualRequests(RequestCheck(None, ParameterRules("off"))).passed(lines) is None


def test_lines_that_lose_a_parameter_are_looked_at_one_by_one() -> None:
    line = request_line([*USUAL, ("temperature", 0)])
    assert RequestCheck(None, ParameterRules("drop")).passed(line)[1] != line
    assert UsualRequests(RequestCheck(None, ParameterRules("drop"))).passed([line]) is None


@pytest.mark.parametrize(
    ("key", "first", "last"),
    [
        ("model", "\ud800", "kimi-k2.6"),
        ("max_completion_tokens", "\ud800", 64),
        ("thinking", {"type": "\ud800"}, {"type": "disabled"}),
        ("stop", ["\ud800"], "a"),
        ("tools", "\ud800", []),
        ("temperature", "\ud800", 1),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_half_a_character_in_a_value_that_a_later_one_replaces_is_found(
    key: str, first: Any, last: Any, ascii_only: bool
) -> None:
    usual = [("model", "kimi-k2.6"), ("messages", [{"role": "user", "content": "x"}]), (key, last)]
    odd = request_line([(key, first), *usual], ascii_only)
    assert unreadable_text(odd) is not None
    check = RequestCheck(None, ParameterRules("off"))
    assert UsualRequests(check).passed([request_line(usual)]) == ["a"]
    assert UsualRequests(check).passed([odd]) is None


def test_a_line_of_many_megabytes_is_looked_at_alone() -> None:
    """Its text would be held a second time."""
    line = request_line([("model", "kimi-k2.6"), ("messages", [{"role": "user", "content": "x" * 5_000_000}])])
    assert UsualRequests(RequestCheck(None, ParameterRules("off"))).passed([line]) is None


def test_usual_lines_are_passed_at_once() -> None:
    body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 64}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    check = RequestCheck("kimi-k2.6", ParameterRules())
    assert UsualRequests(check).passed([json.dumps(line).encode()] * 3) == ["a", "a", "a"]
    assert set(check.warnings.values()) == {3}
