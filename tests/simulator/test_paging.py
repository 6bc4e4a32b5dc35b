"""A patient client sees the whole list of batches once, however it is ordered and whatever it says of further pages."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest

from airflow_provider_kimi.simulator import Behaviour, KimiSimulator
from tests.simulator.conftest import Start
from tests.simulator.wire import UNTIL_COMPLETED, call, create, upload

if TYPE_CHECKING:
    from openai import OpenAI

ORDERS, ENDINGS, AFTERS = (
    get_args(get_type_hints(Behaviour)[name]) for name in ("list_order", "has_more", "list_after")
)


def pages(sim: KimiSimulator, limit: int) -> Iterator[list[str]]:
    """Ids page by page, until one brings nothing new."""
    seen: set[str] = set()
    after = ""
    while True:
        page = [batch["id"] for batch in call(sim, "GET", f"/batches?limit={limit}&after={after}").json()["data"] or []]
        if seen.issuperset(page):
            return
        yield page
        seen.update(page)
        after = page[-1]


def account(sim: KimiSimulator, client: "OpenAI", most: int = 11) -> list[str]:
    """Ids of batches of all ages, oldest first: some have ended, some are cancelled, some run."""
    file_id = upload(client)
    ids = []
    for number in range(most):
        ids.append(create(client, file_id).id)
        if number % 4 == 0:
            client.batches.cancel(ids[-1])
        sim.advance(UNTIL_COMPLETED / 3)
    return ids


@pytest.mark.parametrize(("order", "has_more"), list(itertools.product(ORDERS, ENDINGS)))
@pytest.mark.parametrize("empty_list", ["empty", "null"])
def test_a_client_that_pages_until_nothing_new_comes_sees_every_batch_once(
    start: Start, order: str, has_more: str, empty_list: str
) -> None:
    sim, client = start(list_order=order, has_more=has_more, empty_list=empty_list, list_after="honored")
    ids = account(sim, client)
    for limit in (1, 2, 3, 5, 10, 11, 12, 100):
        listed = [batch_id for page in pages(sim, limit) for batch_id in page]
        assert (len(listed), set(listed)) == (len(ids), set(ids))


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_is_the_same_on_every_length_of_page(start: Start, order: str) -> None:
    sim, client = start(list_order=order)
    ids = account(sim, client)
    walks = [[batch_id for page in pages(sim, limit) for batch_id in page] for limit in (1, 4, 100)]
    expected = ids if order == "oldest_first" else ids[::-1]
    if order == "running_first":
        ended = {batch_id for batch_id in ids if sim.status(batch_id) in ("completed", "cancelled")}
        assert 0 < len(ended) < len(ids)
        expected = sorted(expected, key=ended.__contains__)
    assert walks == [expected] * 3


@pytest.mark.parametrize(("order", "has_more", "after"), list(itertools.product(ORDERS, ENDINGS, AFTERS)))
def test_no_list_leads_a_patient_client_round_in_circles_or_shows_it_a_batch_twice(
    start: Start, order: str, has_more: str, after: str
) -> None:
    sim, client = start(list_order=order, has_more=has_more, list_after=after)
    ids: Any = account(sim, client)
    listed = [batch_id for page in itertools.islice(pages(sim, 3), 20) for batch_id in page]
    assert len(listed) == len(set(listed)) == (len(ids) if after == "honored" else 3)
    assert set(listed) <= set(ids)


@pytest.mark.parametrize("has_more", ENDINGS)
def test_has_more_is_true_only_where_it_is_honest_and_more_follows(start: Start, has_more: str) -> None:
    sim, client = start(has_more=has_more)
    left = len(account(sim, client))
    after = ""
    while left:
        page = call(sim, "GET", f"/batches?limit=4&after={after}").json()
        left, after = left - len(page["data"]), page["data"][-1]["id"]
        assert page.get("has_more") == {"honest": left > 0, "absent": None, "false": False}[has_more]
