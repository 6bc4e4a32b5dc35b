"""Texts over the columns of a row: what they may hold, and that a row's text is only ever inserted."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.templates import Conversation, Template
from tests.support.samples import ROW_TEXT, TRICKY


@pytest.mark.parametrize("text", [*TRICKY, "", "{0.__class__}", "{% raw %}", "{{ conn }}"])
def test_the_text_of_a_row_is_inserted_byte_for_byte(text: str) -> None:
    """Neither `str.format` nor Jinja may read what a row holds."""
    assert Template("Classify: {text}!").fill({"text": text}) == f"Classify: {text}!"


@given(first=ROW_TEXT, second=ROW_TEXT)
def test_the_text_of_a_row_is_inserted_whatever_it_is(first: str, second: str) -> None:
    filled = Template("{{a}} {x} - {y}{x}").fill({"x": first, "y": second})
    assert filled == "{a} " + first + " - " + second + first


@given(text=ROW_TEXT)
def test_the_text_of_a_row_is_inserted_into_every_message_of_a_conversation(text: str) -> None:
    talk = Conversation([{"role": "system", "content": "{x}"}, {"role": "user", "content": [{"text": "<{x}>"}]}])
    assert talk.fill({"x": text}) == [
        {"role": "system", "content": text},
        {"role": "user", "content": [{"text": f"<{text}>"}]},
    ]


@pytest.mark.parametrize(
    ("text", "row", "filled"),
    [
        pytest.param("{a}", {"a": "x", "b": "y"}, "x", id="a column"),
        pytest.param("no column", {}, "no column", id="none"),
        pytest.param("{{a}} {{}}", {}, "{a} {}", id="doubled braces are literal"),
        pytest.param("{price:.2f}", {"price": 1.005}, "1.00", id="a format"),
        pytest.param("{n:05d}", {"n": 42}, "00042", id="a format of a number"),
        pytest.param("{a:>3}", {"a": "x"}, "  x", id="a format of a text"),
        pytest.param("{n}", {"n": 0}, "0", id="zero is a value"),
        pytest.param("[{a}]", {"a": ""}, "[]", id="empty is a value"),
        pytest.param("{a.__class__}", {"a.__class__": "x"}, "x", id="a dot is part of the name"),
        pytest.param("{a[0]}", {"a[0]": "x", "a": "no"}, "x", id="so is an index"),
        pytest.param("{客户 名}", {"客户 名": "x"}, "x", id="any script, with a space"),
    ],
)
def test_a_template_is_filled_with_columns_only(text: str, row: dict[str, object], filled: str) -> None:
    assert Template(text).fill(row) == filled


@dataclass
class Size:
    width: int
    colour: str


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(["red", None, True], '["red", null, true]', id="list"),
        pytest.param({"name": "名", "tags": ("a", "b")}, '{"name": "名", "tags": ["a", "b"]}', id="mapping"),
        pytest.param(
            {"price": Decimal("1.10"), "day": date(2026, 1, 2)}, '{"price": "1.10", "day": "2026-01-02"}', id="types"
        ),
        pytest.param([float("nan"), pandas.NA, pandas.NaT], "[null, null, null]", id="missing values"),
        pytest.param(numpy.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]", id="array"),
        pytest.param(Size(1, "red"), '{"width": 1, "colour": "red"}', id="data class"),
        pytest.param([1, 2.5, -3], "[1, 2.5, -3]", id="numbers, as always"),
        pytest.param([], "[]", id="empty list"),
    ],
)
def test_a_value_that_holds_others_is_written_as_json(value: object, written: str) -> None:
    assert Template("<{a}>").fill({"a": value}) == f"<{written}>"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "True"),
        (7, "7"),
        (1.5, "1.5"),
        (Decimal("1.10"), "1.10"),
        (datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (numpy.int64(7), "7"),
        (numpy.float64(1.5), "1.5"),
        (numpy.bool_(True), "True"),
        (numpy.str_("x"), "x"),
        (pandas.Timestamp("2026-01-02 03:04"), "2026-01-02 03:04:00"),
        (numpy.datetime64("2026-01-02T03:04", "ns"), "2026-01-02 03:04:00"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_its_own_is_written_as_str_format_does(value: object, written: str) -> None:
    """Other bytes than those of an earlier version would pay for the same rows again."""
    assert Template("{a}").fill({"a": value}) == written


@pytest.mark.parametrize(
    "value", [numpy.int64(7), numpy.float64(7), numpy.array(7)], ids=lambda value: type(value).__name__
)
def test_a_number_of_numpy_fits_a_format(value: object) -> None:
    assert Template("{a:05.1f}").fill({"a": value}) == "007.0"


@pytest.mark.parametrize("value", [pandas.NA, pandas.NaT, numpy.float64("nan"), Decimal("sNaN")], ids=repr)
def test_a_missing_value_of_any_library_is_null(value: object) -> None:
    with pytest.raises(RowProblem, match=r"^has null in column 'a', which the prompt uses$"):
        Template("{a}").fill({"a": value})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param([b"x"], "has bytes in column 'a', which the prompt uses as text", id="bytes inside"),
        pytest.param(
            {"x": {"y": bytearray(b"x")}}, "has bytes in column 'a', which the prompt uses as text", id="deep"
        ),
        pytest.param(object(), "has a object in column 'a', which has no text for the prompt", id="object"),
        pytest.param([iter([])], "has a list_iterator in column 'a', which has no text for the prompt", id="iterator"),
    ],
)
def test_a_value_without_a_text_is_a_problem_of_its_row(value: object, problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        Template("{a}").fill({"a": value})
    assert str(caught.value) == problem


def test_a_value_that_holds_itself_is_a_problem_of_its_row() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RowProblem, match=r"^is nested too deeply in column 'a'$"):
        Template("{a}").fill({"a": loop})


@pytest.mark.parametrize(
    ("text", "doubled"),
    [
        pytest.param("{{text}}", {"text": "{{text}}"}, id="bare"),
        pytest.param("On {{ text }}:", {"text": "{{ text }}"}, id="with spaces"),
        pytest.param("{{- text -}}", {"text": "{{- text -}}"}, id="with dashes"),
        pytest.param("{{ text | trim }}", {"text": "{{ text | trim }}"}, id="with a filter"),
        pytest.param("{{ a b }}{{名}}", {"a b": "{{ a b }}", "名": "{{名}}"}, id="any name"),
        pytest.param(
            '{{"label": "x"}} {{}} {{ }}', {'"label": "x"': '{{"label": "x"}}'}, id="JSON, which names no column"
        ),
        pytest.param("{{{text}}}", {}, id="a column in literal braces"),
        pytest.param("{{{{ text }}}}", {}, id="literal doubled braces"),
        pytest.param("{text}", {}, id="a column"),
    ],
)
def test_what_stands_in_doubled_braces_is_found(text: str, doubled: dict[str, str]) -> None:
    assert Template(text).doubled == doubled


def test_the_columns_of_a_template_are_listed_once_and_in_order() -> None:
    assert Template("{b} {a:.2f} {{c}} {b} {a.x}").columns == ["b", "a", "a.x"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("{", "is not valid: Single '{'", id="lone opening brace"),
        pytest.param("a } b", "is not valid: Single '}'", id="lone closing brace"),
        pytest.param("{a", "is not valid: expected '}'", id="not closed"),
        pytest.param("{}", r"has the field \{\}, which names no column", id="no name"),
        pytest.param("{:>5}", r"has the field \{\}, which names no column", id="format only"),
        pytest.param("{0}", r"has the field \{0\}, which names no column", id="position"),
        pytest.param("{a!r}", r"field \{a\} uses a conversion", id="conversion"),
        pytest.param("{a:{b}}", r"field \{a\} uses a conversion or a nested field", id="nested field"),
    ],
)
def test_a_template_that_reaches_beyond_columns_is_refused(text: str, problem: str) -> None:
    with pytest.raises(KimiInputError, match=problem) as caught:
        _ = Template(text).columns
    assert "Nothing was sent." in str(caught.value)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param({"b": "secret"}, "has no column 'a', which the prompt uses; it has 'b'", id="missing"),
        pytest.param({"a": None}, "has null in column 'a', which the prompt uses", id="null"),
        pytest.param({"a": b"secret"}, "has bytes in column 'a', which the prompt uses as text", id="bytes"),
        pytest.param({"a": bytearray(b"x")}, "has bytes in column 'a', which the prompt uses as text", id="array"),
        pytest.param({"a": "secret"}, "has a value in column 'a' that does not fit the format '.2f'", id="format"),
        pytest.param({"a": [1]}, "has a value in column 'a' that does not fit the format '.2f'", id="list"),
    ],
)
def test_a_row_that_does_not_fit_is_described_without_its_content(row: dict[str, object], problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        Template("{a:.2f}").fill(row)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        pytest.param("c", 2**40, id="no such character"),
        pytest.param(".1f", 10**400, id="no such float"),
        pytest.param("e", 10**400, id="no such power"),
    ],
)
def test_a_number_that_is_too_large_to_format_is_a_problem_of_its_row(spec: str, value: int) -> None:
    with pytest.raises(RowProblem, match=f"has a value in column 'a' that does not fit the format '{spec}'"):
        Template(f"{{a:{spec}}}").fill({"a": value})


@pytest.mark.parametrize(("width", "more"), [(8, ""), (9, " and 1 more"), (10, " and 2 more")])
def test_a_row_that_does_not_fit_is_described_by_its_first_columns(width: int, more: str) -> None:
    with pytest.raises(RowProblem, match=f"it has 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7'{more}$"):
        Template("{a}").fill({f"c{number}": 1 for number in range(width)})


@pytest.mark.parametrize(("text", "hinted"), [('Answer as {"label": ...}', True), ("{txet}", False)])
def test_a_literal_brace_that_was_not_doubled_is_named_as_the_cause(text: str, hinted: bool) -> None:
    with pytest.raises(RowProblem) as caught:
        Template(text).fill({"text": "x"})
    assert ("a literal brace is doubled" in str(caught.value)) is hinted


def test_a_conversation_has_every_text_filled_and_all_else_kept() -> None:
    image = {"type": "image_url", "image_url": {"url": "ms://{file}"}}
    given = (
        {"role": "system", "content": "Braces: {{}}"},
        {"role": "user", "content": [image, {"type": "text", "text": "{a} and {b:.1f}", "odd": [1, None, True]}]},
    )
    assert Conversation(given).fill({"a": "x", "b": 2, "file": "f1"}) == [
        {"role": "system", "content": "Braces: {}"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "ms://f1"}},
                {"type": "text", "text": "x and 2.0", "odd": [1, None, True]},
            ],
        },
    ]


def test_a_conversation_is_filled_for_each_row_and_never_changed() -> None:
    given = [{"role": "user", "content": [{"type": "text", "text": "{a}"}]}]
    talk = Conversation(given)
    first, second = talk.fill({"a": "1"}), talk.fill({"a": "2"})
    assert (first[0]["content"][0]["text"], second[0]["content"][0]["text"]) == ("1", "2")
    assert given == [{"role": "user", "content": [{"type": "text", "text": "{a}"}]}]


@pytest.mark.parametrize(
    "message",
    [{"role": "user", "content": "{"}, {"role": "user", "content": [{"type": "text", "text": "{}"}]}],
    ids=["content", "part"],
)
def test_a_conversation_is_refused_as_a_whole_if_one_text_is_not_a_template(message: dict[str, object]) -> None:
    with pytest.raises(KimiInputError, match=r"^The prompt template"):
        Conversation([{"role": "system", "content": "fine"}, message]).fill({})


def test_a_column_that_a_conversation_lacks_is_a_problem_of_the_row() -> None:
    with pytest.raises(RowProblem, match="has no column 'b', which the prompt uses; it has 'a'"):
        Conversation([{"role": "user", "content": "{a}"}, {"role": "user", "content": "{b}"}]).fill({"a": 1})


@given(
    parts=st.lists(st.one_of(st.text().map(lambda text: text.replace("{", "{{").replace("}", "}}")), st.just("{x}")))
)
def test_the_text_around_the_columns_is_kept(parts: list[str]) -> None:
    filled = Template("".join(parts)).fill({"x": "{y}"})
    plain = [part.replace("{{", "{").replace("}}", "}") if part != "{x}" else "{y}" for part in parts]
    assert filled == "".join(plain)


@pytest.mark.parametrize(
    "text",
    ["On {{ ds }}: {a}", "{{params.day}} {a}", "{{ data_interval_start | ds }}{a}", "{% if a %}{a}{% endif %}"],
)
def test_jinja_in_a_template_is_refused_with_what_to_do_instead(text: str) -> None:
    """A prompt is never rendered: `{{ ds }}` would be sent as `{ ds }`."""
    with pytest.raises(KimiInputError, match=r"looks like Jinja; prompts are never rendered.*from another task"):
        _ = Template(text).columns


@pytest.mark.parametrize("text", ['{{"label": "x"}} {a}', "{{name}} {a}", "{{{{ ds }}}} {a}", "100 {{%}} {a}"])
def test_jinja_is_told_from_braces_that_are_meant(text: str) -> None:
    assert Template(text).columns == ["a"]
