"""Which requests are the same is known by their whole digests, in a few numbers of memory for each."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.requests.same_requests import NONE, SameRequests

#: Few digests, so that many are equal; some share their first half, or their second.
DIGESTS = st.sampled_from([head + tail for head in (b"a" * 8, b"b" * 8) for tail in (b"x" * 8, b"y" * 8, b"\xff" * 8)])


@given(digests=st.lists(DIGESTS, max_size=30))
def test_each_request_knows_the_first_one_that_is_the_same(digests: list[bytes]) -> None:
    same = SameRequests(digests)
    assert list(same.firsts()) == [digests.index(digest) for digest in digests]


@given(digests=st.lists(DIGESTS, max_size=30), wanted=DIGESTS)
def test_the_first_request_of_a_digest_is_found(digests: list[bytes], wanted: bytes) -> None:
    found = SameRequests(digests).first(wanted)
    assert found == (digests.index(wanted) if wanted in digests else NONE)


def test_a_request_costs_three_numbers_of_memory() -> None:
    count = 100_000
    same = SameRequests(number.to_bytes(16, "little") for number in range(count))
    held = [same._heads, same._tails, same._order]
    assert sum(map(sys.getsizeof, held)) < 3 * 9 * count
    assert same.first((count - 1).to_bytes(16, "little")) == count - 1
