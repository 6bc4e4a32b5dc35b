"""Requests that ask the same have one digest, whoever makes it and whenever."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.cache.digests import DIGEST_BYTES, request_digest

BASE_URL = "https://api.moonshot.cn/v1"
BODY = b'{"model":"kimi-k2.6","messages":[{"role":"user","content":"\xe5\xa5\xbd"}],"temperature":0.60,"seed":12}'

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


def digest(body: bytes, base_url: str = BASE_URL) -> bytes:
    return request_digest(body, base_url=base_url)


def test_the_digest_of_a_request_is_the_same_in_every_version_of_this_package() -> None:
    """Another one would empty every cache."""
    assert digest(BODY).hex() == "6ea44d4dda6ee93d2d6761f4324ef469"
    assert len(digest(BODY)) == DIGEST_BYTES


@given(body=st.dictionaries(st.text(max_size=5), JSON, max_size=5), data=st.data())
def test_the_order_of_keys_and_the_space_between_them_do_not_matter(body: dict[str, Any], data: st.DataObject) -> None:
    keys = data.draw(st.permutations(list(body)))
    other = json.dumps({key: body[key] for key in keys}, indent=1).encode()
    assert digest(other) == digest(json.dumps(body, sort_keys=True).encode())


@pytest.mark.parametrize(
    "other",
    [
        BODY.replace(b"user", b"system"),
        BODY.replace(b"0.60", b"0.6000001"),
        BODY.replace(b"12}", b"12.0}"),
        BODY.replace(b"12}", b'"12"}'),
        BODY.replace(b"12}", b"12345678901234567890123}"),
        BODY.replace(b',"seed":12', b""),
        BODY.replace(b"}", b',"seed":null}'),
    ],
)
def test_requests_that_differ_in_anything_have_other_digests(other: bytes) -> None:
    assert digest(other) != digest(BODY)


def test_numbers_are_told_apart_as_they_are_written() -> None:
    numbers = [b"1", b"1.0", b"12345678901234567890", b"12345678901234567891", b"1e999", b"1e998"]
    assert len({digest(b'{"x":' + number + b"}") for number in numbers}) == len(numbers)


@pytest.mark.parametrize(
    "other", ["https://api.moonshot.ai/v1", "http://127.0.0.1:8765/v1", "https://gateway.example.com/v1"]
)
def test_two_platforms_never_share_answers(other: str) -> None:
    assert digest(BODY, other) != digest(BODY)
    assert digest(BODY, f"{other}/") == digest(BODY, other)


def test_another_call_of_the_platform_has_another_digest() -> None:
    assert request_digest(BODY, base_url=BASE_URL, url="/v1/other") != digest(BODY)


@pytest.mark.parametrize("body", [b"", b"{", b'{"x":"\\ud800"}', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_not_sound_has_a_digest_of_its_own(body: bytes) -> None:
    assert digest(body) == digest(body)
    assert digest(body) != digest(body + b" ")
