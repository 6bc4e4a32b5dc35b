"""Batch ids, however one task hands them to another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.ids import checked_id, in_path, read_batch_ids, read_file_ids
from airflow_provider_kimi.exceptions import KimiInputError

BATCH_ID = st.from_regex(r"batch_[0-9a-f]{1,24}", fullmatch=True)


@given(ids=st.lists(BATCH_ID, min_size=1, unique=True))
def test_batch_ids_are_read_from_lists_and_from_rendered_lists(ids: list[str]) -> None:
    assert read_batch_ids(ids) == ids
    assert read_batch_ids(tuple(ids)) == ids
    assert read_batch_ids(repr(ids)) == ids
    assert read_batch_ids(f"  {ids!r}\n") == ids
    assert read_batch_ids([[batch_id] for batch_id in ids]) == ids
    assert read_batch_ids(repr([ids, [ids]])) == ids


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        pytest.param("batch_1", ["batch_1"], id="one"),
        pytest.param(" batch_1\n", ["batch_1"], id="spaces around it"),
        pytest.param('["batch_1", "batch_2"]', ["batch_1", "batch_2"], id="JSON"),
        pytest.param("['batch_1', ' batch_2']", ["batch_1", "batch_2"], id="spaces in a text"),
        pytest.param([["batch_2"], ["batch_1"]], ["batch_2", "batch_1"], id="of mapped tasks, in order"),
        pytest.param(["batch_1", "batch_1"], ["batch_1"], id="repeated"),
        pytest.param("nonesuch", ["nonesuch"], id="ids are opaque"),
        pytest.param((part for part in ("a", "b")), ["a", "b"], id="lazy sequence"),
        pytest.param("['YmF0Y2g=', 'a+b~c/d']", ["YmF0Y2g=", "a+b~c/d"], id="unusual characters"),
    ],
)
def test_batch_ids_are_read_from_every_other_form(value: object, ids: list[str]) -> None:
    assert read_batch_ids(value) == ids


@pytest.mark.parametrize(
    "value",
    ["", " ", "None", None, "[]", [], [[]], "[batch_1", "[batch_1]", "[None]", ["batch_1", None], [""], 5, b"batch"]
    + ["a b", "a\tb", "a\x00b", "a\x7fb", "a\u200bb", {"batch_1": 1}, "{'batch_1'}", "['a', 5]", "batch_1, batch_2"]
    + [".", "..", "../files", "files/..", "a/../b", "./a", "[['..']]", ["batch_1", "."], "batch_1,batch_2", "<id>"],
    ids=repr,
)
def test_a_value_without_batch_ids_is_refused(value: object) -> None:
    with pytest.raises(KimiInputError, match=r"which is not a batch id or a list of them\. Nothing was sent\."):
        read_batch_ids(value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 5000, id="open"),
        pytest.param("[" * 5000 + "]" * 5000, id="closed"),
        pytest.param("[" + "-" * 5000 + "1]", id="more than Python can walk"),
        pytest.param("[" + "-" * 100_000 + "1]", id="more than Python can parse"),
    ],
)
def test_a_text_of_deeply_nested_lists_is_refused(text: str) -> None:
    with pytest.raises(KimiInputError, match=r"which is not a batch id or a list of them\. Nothing was sent\."):
        read_batch_ids(text)


def test_a_list_that_holds_itself_is_refused() -> None:
    loop: list[object] = ["batch_1"]
    loop.append(loop)
    with pytest.raises(KimiInputError, match=r"which is not a batch id or a list of them\. Nothing was sent\."):
        read_batch_ids(loop)


def test_the_refusal_of_a_long_batch_id_is_short() -> None:
    with pytest.raises(KimiInputError) as caught:
        read_batch_ids("x " * 500)
    assert "batch_id is 'x x x" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", ["[{[]: 1}]", "[{[1]}]"])
def test_a_text_that_only_looks_like_a_list_is_refused(text: str) -> None:
    with pytest.raises(KimiInputError, match="not a batch id"):
        read_batch_ids(text)


def test_a_deeply_nested_list_is_refused() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(KimiInputError, match="not a batch id"):
        read_batch_ids(nested)
    while nested:
        nested = nested.pop()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("unusual", "part"),
    [
        *(("YmF0Y2g=", "YmF0Y2g%3D"), ("a+b~c/d", "a%2Bb~c%2Fd"), ("a?b#c", "a%3Fb%23c"), ("a%2Fb", "a%252Fb")),
        *(("-a", "-a"), (":a", ":a"), ("...", "..."), ("a..b", "a..b"), ("批次", "%E6%89%B9%E6%AC%A1")),
        *(("batch_1", "batch_1"), ("a&b;c@d!e$f*(g)|h^i`j", "a%26b%3Bc%40d%21e%24f%2A%28g%29%7Ch%5Ei%60j")),
    ],
)
def test_an_id_is_opaque_and_encoded_in_a_path(unusual: str, part: str) -> None:
    """Whatever create returns, the tasks after it take."""
    assert checked_id(unusual) == unusual
    assert in_path(unusual) == part
    assert (read_batch_ids(unusual), read_file_ids([unusual])) == ([unusual], [unusual])


@given(value=st.text())
def test_no_id_leads_to_another_path(value: str) -> None:
    try:
        part = in_path(value)
    except KimiInputError:
        return
    assert part not in ("", ".", "..")
    assert not set(part) & set("/?#\\ ")
