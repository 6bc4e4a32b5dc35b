"""The objects of a JSON file, whatever the chunks it is read in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.json_objects import objects_of

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.sampled_from('a"\\{}[],: \n评')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(), VALUES), max_size=5)


def chunks_of(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def objects(text: bytes, size: int = 1 << 18, longest: int = 1 << 20) -> list[Any]:
    return [json.loads(found) for found in objects_of(iter(chunks_of(text, size)), longest)]


@given(rows=ROWS, size=st.integers(1, 40), indent=st.sampled_from([None, 1]), ascii_=st.booleans())
def test_an_array_is_its_objects_however_it_is_cut_into_chunks(
    rows: list[Any], size: int, indent: int | None, ascii_: bool
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_).encode()
    assert objects(text, size) == rows


@given(rows=ROWS, size=st.integers(1, 40), between=st.sampled_from(["", "\n", " \r\n\t"]))
def test_objects_may_stand_one_after_another(rows: list[Any], size: int, between: str) -> None:
    assert objects((between.join(map(json.dumps, rows)) + between).encode(), size) == rows


@given(rows=ROWS, size=st.integers(1, 40), left=st.integers(1, 10**6))
def test_an_array_that_is_cut_off_is_refused_after_its_whole_objects(rows: list[Any], size: int, left: int) -> None:
    text = json.dumps(rows).encode()
    cut = iter(chunks_of(text[: max(1, left % len(text))], size))
    found: list[Any] = []
    with pytest.raises(ValueError, match=r"^ends too early, after \d+ objects$"):
        found.extend(map(json.loads, objects_of(cut, 1 << 20)))
    assert found == rows[: len(found)]


@pytest.mark.parametrize("text", [b"", b" \n", b"[]", b" [ ] ", b"\xef\xbb\xbf[]", b"\xef\xbb\xbf"])
def test_a_file_may_hold_no_object(text: bytes) -> None:
    assert objects(text) == []


@pytest.mark.parametrize(
    "text",
    [b"[1]", b'["a"]', b"[[{}]]", b"null", b'"a"', b"[{},]", b"[,{}]", b"[{}{}]", b"[{}] {}", b"{},{}", b"[]]", b"a,b"],
)
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^holds something else than objects, or a comma or bracket too many"):
        objects(text)


def test_an_object_that_is_not_valid_is_left_to_whoever_decodes_it() -> None:
    wrong = [b'{"a" 1}', b"{,}", b'{"c": 1}']
    assert list(objects_of(iter([b"[" + b", ".join(wrong) + b"]"]), 99)) == wrong


def test_an_object_that_is_too_long_is_refused_before_it_is_held() -> None:
    def endless() -> Any:
        yield b'[{"a": 1}, {"a": "'
        while True:
            yield b"x" * 1000

    with pytest.raises(ValueError, match="has an object of over 5,000 bytes"):
        list(objects_of(endless(), 5_000))
