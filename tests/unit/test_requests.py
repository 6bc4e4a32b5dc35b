"""From a prompt, a chat or a table row to one request line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.batch.requests import Recipe, RowProblem, Template, custom_id_of, encode
from airflow_provider_kimi.exceptions import KimiInputError

#: Pieces of row text that something, somewhere, might take for a template or for a line end.
TRICKY = ("{", "}", "{{", "}}", "{%", "{{ conn.kimi.password }}", "{x}", "%s", "$x", "\\n", "\n", "\u2028", "\u0085")
ROW_TEXT = st.lists(st.one_of(st.text(), st.sampled_from(TRICKY))).map("".join)


class TestRowTextIsDataAndNeverATemplate:
    """T30: neither `str.format` nor Jinja may read what a row holds."""

    @pytest.mark.parametrize("text", [*TRICKY, "", "{0.__class__}", "{% raw %}", "{{ conn }}"])
    def test_it_is_inserted_byte_for_byte(self, text: str) -> None:
        assert Template("Classify: {text}!").fill({"text": text}) == f"Classify: {text}!"

    @given(first=ROW_TEXT, second=ROW_TEXT)
    def test_whatever_it_is(self, first: str, second: str) -> None:
        filled = Template("{{a}} {x} - {y}{x}").fill({"x": first, "y": second})
        assert filled == "{a} " + first + " - " + second + first

    @given(text=ROW_TEXT)
    def test_up_to_the_line_that_is_uploaded(self, text: str) -> None:
        """T41: the line stays one line."""
        line = Recipe("kimi-k2.6", prompt="Classify: {text}").line({"text": text}, 1)
        assert b"\n" not in line
        assert json.loads(line)["body"]["messages"] == [{"role": "user", "content": f"Classify: {text}"}]

    @given(prompt=ROW_TEXT.filter(str.strip), system=ROW_TEXT)
    def test_without_a_prompt_template_the_texts_stand_for_themselves(self, prompt: str, system: str) -> None:
        messages = Recipe("kimi-k2.6", system_prompt=system).messages(prompt)
        assert messages == [{"role": "system", "content": system}, {"role": "user", "content": prompt}]


class TestTemplateKnowsColumnsOnly:
    @pytest.mark.parametrize(
        ("text", "row", "filled"),
        [
            pytest.param("{a}", {"a": "x", "b": "y"}, "x", id="a column"),
            pytest.param("no column", {}, "no column", id="none"),
            pytest.param("{{a}} {{}}", {}, "{a} {}", id="doubled braces are literal"),
            pytest.param("{price:.2f}", {"price": 1.005}, "1.00", id="a format"),
            pytest.param("{n:05d}", {"n": 42}, "00042", id="a format of a number"),
            pytest.param("{n}", {"n": 0}, "0", id="zero is a value"),
            pytest.param("[{a}]", {"a": ""}, "[]", id="empty is a value"),
            pytest.param("{a.__class__}", {"a.__class__": "x"}, "x", id="a dot is part of the name"),
            pytest.param("{a[0]}", {"a[0]": "x", "a": "no"}, "x", id="so is an index"),
            pytest.param("{客户 名}", {"客户 名": "x"}, "x", id="any script, with a space"),
        ],
    )
    def test_filled(self, text: str, row: dict[str, object], filled: str) -> None:
        assert Template(text).fill(row) == filled

    def test_columns_are_listed_once_and_in_order(self) -> None:
        assert Template("{b} {a:.2f} {{c}} {b} {a.x}").columns == ["b", "a", "a.x"]

    @pytest.mark.parametrize(
        ("text", "fault"),
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
    def test_refused_templates(self, text: str, fault: str) -> None:
        with pytest.raises(KimiInputError, match=fault) as caught:
            _ = Template(text).columns
        assert "Nothing was sent." in str(caught.value)

    @pytest.mark.parametrize(
        ("row", "fault"),
        [
            pytest.param({"b": "secret"}, "has no column 'a', which the prompt uses; it has 'b'", id="missing"),
            pytest.param({"a": None}, "has null in column 'a', which the prompt uses", id="null"),
            pytest.param({"a": "secret"}, "has a value in column 'a' that does not fit the format '.2f'", id="format"),
            pytest.param({"a": [1]}, "has a value in column 'a' that does not fit the format '.2f'", id="list"),
        ],
    )
    def test_a_row_that_does_not_fit_is_named_without_its_content(self, row: dict[str, object], fault: str) -> None:
        with pytest.raises(RowProblem) as caught:
            Template("{a:.2f}").fill(row)
        assert str(caught.value) == fault

    @pytest.mark.parametrize(
        ("spec", "value"),
        [
            pytest.param("c", 2**40, id="no such character"),
            pytest.param(".1f", 10**400, id="no such float"),
            pytest.param("e", 10**400, id="no such power"),
        ],
    )
    def test_a_number_too_large_for_its_format_is_a_fault_of_its_row(self, spec: str, value: int) -> None:
        with pytest.raises(RowProblem, match=f"has a value in column 'a' that does not fit the format '{spec}'"):
            Template(f"{{a:{spec}}}").fill({"a": value})

    @pytest.mark.parametrize(("width", "more"), [(8, ""), (9, " and 1 more"), (10, " and 2 more")])
    def test_a_wide_row_is_named_by_its_first_columns(self, width: int, more: str) -> None:
        with pytest.raises(RowProblem, match=f"it has 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7'{more}$"):
            Template("{a}").fill({f"c{number}": 1 for number in range(width)})


CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
PLAIN = Recipe("kimi-k2.6")
TABLE = Recipe("kimi-k2.6", prompt="Q {a}", system_prompt="S {b}")


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
def test_an_item_becomes_chat_messages(recipe: Recipe, item: object, messages: list[object]) -> None:
    assert recipe.messages(item) == messages


@pytest.mark.parametrize(
    ("recipe", "item", "fault"),
    [
        pytest.param(PLAIN, "", "is an empty prompt", id="empty prompt"),
        pytest.param(PLAIN, {"a": 1}, "is a table row, and no prompt says how to ask about it", id="row, no prompt"),
        pytest.param(PLAIN, [], "is a list; an item is a prompt", id="empty chat"),
        pytest.param(PLAIN, ["a", "b"], "is a list; an item is a prompt", id="list of texts"),
        pytest.param(PLAIN, b"u", "is a bytes; an item is a prompt", id="bytes"),
        pytest.param(PLAIN, None, "is a NoneType; an item is a prompt", id="none"),
        pytest.param(TABLE, "u", "is a str, but prompt is a template over the columns", id="prompt for a template"),
        pytest.param(TABLE, {"a": 1}, "has no column 'b'", id="column of the system prompt"),
        pytest.param(Recipe("m", prompt="{a}"), {"a": ""}, "makes an empty prompt", id="prompt that comes out empty"),
        pytest.param(
            Recipe("m", prompt="{a}{b}", system_prompt="S"),
            {"a": "", "b": ""},
            "makes an empty prompt",
            id="though there is a system prompt",
        ),
    ],
)
def test_an_item_of_another_kind_is_refused(recipe: Recipe, item: object, fault: str) -> None:
    with pytest.raises(RowProblem, match=f"^{fault}"):
        recipe.messages(item)


class TestRequestParams:
    @pytest.mark.parametrize("key", ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty"])
    def test_what_the_models_fix_is_refused_before_anything_is_sent(self, key: str) -> None:
        """T53: a temperature makes every row of the batch fail."""
        with pytest.raises(KimiInputError, match=f"has '{key}', which Kimi refuses in a batch \\(the models fix it\\)"):
            Recipe("m", request_params={key: 1}).check()

    def test_streaming_is_refused(self) -> None:
        with pytest.raises(KimiInputError, match=r"\(a batch cannot stream\)"):
            Recipe("m", request_params={"stream": True}).check()

    @pytest.mark.parametrize("key", ["model", "messages"])
    def test_what_comes_from_elsewhere_is_refused(self, key: str) -> None:
        with pytest.raises(KimiInputError, match=f"has '{key}', which is set from elsewhere"):
            Recipe("m", request_params={key: "x"}).check()

    @pytest.mark.parametrize("recipe", [Recipe("m", prompt="{"), Recipe("m", prompt="{a}", system_prompt="{}")])
    def test_a_wrong_template_is_refused(self, recipe: Recipe) -> None:
        with pytest.raises(KimiInputError, match=r"^The prompt template"):
            recipe.check()

    def test_all_else_is_passed_on(self) -> None:
        params = {"max_completion_tokens": 64, "thinking": {"type": "disabled"}, "stream": False}
        recipe = Recipe("m", system_prompt="{", request_params=params)
        recipe.check()
        body = json.loads(recipe.line("u", 1))["body"]
        assert body == {
            "model": "m",
            "messages": [{"role": "system", "content": "{"}, {"role": "user", "content": "u"}],
            **params,
        }


def test_a_line_has_the_four_documented_keys() -> None:
    assert (
        PLAIN.line("ü", 7)
        == (
            '{"custom_id":"row-00000007","method":"POST","url":"/v1/chat/completions",'
            '"body":{"model":"kimi-k2.6","messages":[{"role":"user","content":"ü"}]}}'
        ).encode()
    )


class TestCustomId:
    @pytest.mark.parametrize(
        ("item", "key_column", "custom_id"),
        [
            pytest.param("u", None, "row-00000012", id="the place"),
            pytest.param({"id": "k"}, None, "row-00000012", id="the place, though there are columns"),
            pytest.param({"id": "k"}, "id", "k", id="the key"),
            pytest.param({"id": 7}, "id", "7", id="a number"),
            pytest.param({"id": 0}, "id", "0", id="zero"),
            pytest.param({"id": " k "}, "id", " k ", id="as it is written"),
        ],
    )
    def test_names_a_row(self, item: object, key_column: str | None, custom_id: str) -> None:
        assert custom_id_of(item, 12, key_column) == custom_id

    def test_names_sort_like_the_rows(self) -> None:
        names = [custom_id_of("u", number, None) for number in (1, 9, 10, 99_999_999)]
        assert names == sorted(names)

    @pytest.mark.parametrize(
        ("item", "fault"),
        [
            pytest.param({"a": 1, "b": 2}, "has no key column 'id'; it has 'a', 'b'", id="no column"),
            pytest.param("u", "has no key column 'id'$", id="no row"),
            pytest.param({"id": None}, "has an empty key in column 'id'", id="null"),
            pytest.param({"id": ""}, "has an empty key in column 'id'", id="empty"),
            pytest.param({"id": True}, "has a bool as its key", id="bool"),
            pytest.param({"id": 1.0}, "has a float as its key", id="float"),
            pytest.param({"id": ["k"]}, "has a list as its key", id="list"),
        ],
    )
    def test_refuses_what_is_no_name(self, item: object, fault: str) -> None:
        with pytest.raises(RowProblem, match=f"^{fault}"):
            custom_id_of(item, 1, "id")


class TestEncode:
    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            pytest.param("\ud800", "holds half a character (a lone surrogate), which is not valid Unicode", id="text"),
            pytest.param({"\udfff": 1}, "holds half a character (a lone surrogate)", id="key"),
            pytest.param(object(), "cannot be written as JSON", id="object"),
            pytest.param({(1, 2): 3}, "cannot be written as JSON", id="key that is no text"),
        ],
    )
    def test_refuses_what_json_cannot_hold(self, value: Any, fault: str) -> None:
        with pytest.raises(RowProblem) as caught:
            encode({"body": value})
        assert str(caught.value).startswith(fault)


@pytest.mark.parametrize("text", [" ", "\n\t"])
def test_a_prompt_of_white_space_is_an_empty_one(text: str) -> None:
    with pytest.raises(RowProblem, match="empty prompt"):
        Recipe("m", prompt="{a}").messages({"a": text})
    with pytest.raises(RowProblem, match="empty prompt"):
        Recipe("m").messages(text)
