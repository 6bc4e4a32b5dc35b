"""What all rows share is encoded once, and the lines are the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.line_template import encode, line_template_of
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe
from tests.support.samples import ROW_TEXT

#: What a frame marks its holes with.
MARKS = [f"\x00hole {number}\x00" for number in range(3)]
TEXT = st.one_of(ROW_TEXT, st.sampled_from(MARKS))


@given(texts=st.tuples(TEXT, TEXT, TEXT), shared=TEXT)
def test_a_filled_line_template_is_the_encoded_request(texts: tuple[str, str, str], shared: str) -> None:
    def request(*texts: str) -> list[object]:
        return [texts[0], {"a": texts[1], "b": [shared]}, texts[2]]

    frame = line_template_of(request, holes=3)
    assert (frame is None) is ("\x00hole" in shared)
    if frame is not None:
        assert frame.fill(*texts) == encode(request(*texts))


@given(
    text=TEXT.filter(str.strip),
    system=TEXT.filter(bool),
    custom_id=TEXT,
    params=st.dictionaries(st.sampled_from(["user", "stop", *MARKS]), TEXT),
)
def test_a_prompt_makes_the_line_that_the_same_messages_make(
    text: str, system: str, custom_id: str, params: dict[str, str]
) -> None:
    row = {"text": text, "system": system}
    by_prompt = Recipe("m", prompt="{text}", system_prompt="{system}", request_params=params)
    talk = [{"role": "system", "content": "{system}"}, {"role": "user", "content": "{text}"}]
    by_messages = Recipe("m", messages=talk, request_params=params)
    line = by_prompt.way.line(row, custom_id)
    assert line == by_messages.way.line(row, custom_id)
    assert b"\n" not in line
    assert json.loads(line)["custom_id"] == custom_id


@pytest.mark.parametrize("row", [{"a": "\ud800", "b": "x"}, {"a": "x", "b": "\udfff"}])
def test_half_a_character_is_a_problem_of_its_row(row: dict[str, Any]) -> None:
    with pytest.raises(RowProblem, match=r"^holds half a character \(a lone surrogate\), which is not valid Unicode$"):
        Recipe("m", prompt="{a}", system_prompt="{b}").way.line(row, "k")


def test_parameters_that_json_cannot_hold_are_a_problem_of_every_row() -> None:
    recipe = Recipe("m", prompt="{a}", request_params={"user": object()})
    for _ in range(2):
        with pytest.raises(RowProblem, match=r"^cannot be written as JSON: "):
            recipe.way.line({"a": "x"}, "k")


@pytest.mark.parametrize(
    ("thing", "problem"),
    [
        pytest.param("\ud800", "holds half a character (a lone surrogate), which is not valid Unicode", id="surrogate"),
        pytest.param({"\udfff": 1}, "holds half a character (a lone surrogate)", id="surrogate in a key"),
        pytest.param({(1, 2): 3}, "cannot be written as JSON: ", id="key that is not text"),
        pytest.param(object(), "cannot be written as JSON: ", id="object"),
    ],
)
def test_what_json_cannot_hold_is_a_problem_of_its_row(thing: object, problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        encode({"x": thing})
    assert str(caught.value).startswith(problem)
