"""GET /batches, page by page."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.simulator.conftest import Connector, Start
from tests.simulator.wire import UNTIL_COMPLETED, call, create, upload

if TYPE_CHECKING:
    from openai import OpenAI


class Listed:
    """A simulator with 105 batches, whose ids stand newest first."""

    def __init__(self, sim: KimiSimulator, client: "OpenAI") -> None:
        self.sim, self.client = sim, client
        file_id = upload(client)
        self.ids = [create(client, file_id).id for _ in range(105)][::-1]

    def page(self, query: str = "") -> tuple[list[str], bool]:
        """Ids of one page, and whether there are more."""
        reply = call(self.sim, "GET", f"/batches{query}").json()
        assert (reply["object"], set(reply)) == ("list", {"object", "data", "has_more"})
        return [batch["id"] for batch in reply["data"]], reply["has_more"]


@pytest.fixture(scope="module")
def listed(lasting: KimiSimulator, sdk: Connector) -> Listed:
    """A simulator with 105 batches."""
    return Listed(lasting, sdk(lasting))


def test_a_page_holds_20_batches_newest_first(listed: Listed) -> None:
    assert listed.page() == (listed.ids[:20], True)


def test_limit_sets_the_length_of_a_page_up_to_100(listed: Listed) -> None:
    assert listed.page("?limit=1") == (listed.ids[:1], True)
    assert listed.page("?limit=100") == (listed.ids[:100], True)
    assert listed.page("?limit=101") == (listed.ids[:100], True)


def test_a_page_after_an_id_goes_on_behind_it(listed: Listed) -> None:
    assert listed.page(f"?after={listed.ids[0]}&limit=2") == (listed.ids[1:3], True)
    assert listed.page(f"?after={listed.ids[84]}") == (listed.ids[85:], False)
    assert listed.page(f"?after={listed.ids[-1]}") == ([], False)


def test_a_page_after_an_unknown_id_is_page_one(listed: Listed) -> None:
    assert listed.page("?after=batch_gone&limit=3") == (listed.ids[:3], True)
    assert listed.page("?after=&limit=3") == (listed.ids[:3], True)


@pytest.mark.parametrize("limit", ["0", "00", "-1", "x", "", "1.5", "²", "9" * 5000], ids=lambda limit: limit[:8])
def test_a_limit_that_is_not_a_positive_number_is_refused(listed: Listed, limit: str) -> None:
    reply = call(listed.sim, "GET", f"/batches?limit={quote(limit)}")
    assert reply.error[:2] == (400, "invalid_request_error")


def test_the_sdk_pages_through_all_of_them_once(listed: Listed) -> None:
    assert [batch.id for batch in listed.client.batches.list(limit=50)] == listed.ids


def test_an_account_without_batches_has_an_empty_page(sim: KimiSimulator) -> None:
    assert call(sim, "GET", "/batches").json() == {"object": "list", "data": [], "has_more": False}


class TestAnOddBatch:
    SHAPES: tuple[dict[str, Any], ...] = (
        {"id": "batch_stranger", "status": None, "metadata": [], "created_at": "yesterday"},
        {"object": "batch", "status": "completed"},
        {"id": None},
        {},
    )

    def test_an_odd_batch_is_shown_exactly_as_given_and_newest_of_all(
        self, sim: KimiSimulator, client: "OpenAI"
    ) -> None:
        for shape in self.SHAPES:
            sim.add_odd_batch(shape)
        batch_id = create(client, upload(client)).id
        reply = call(sim, "GET", "/batches").json()
        assert reply["data"][:-1] == [*reversed(self.SHAPES)]
        assert reply["data"][-1]["id"] == batch_id
        assert call(sim, "GET", "/batches/batch_stranger").json() == self.SHAPES[0]
        assert call(sim, "POST", "/batches/batch_stranger/cancel").status == 404
        assert list(sim.batches) == [batch_id]

    def test_a_page_can_begin_behind_an_odd_batch_that_has_an_id(self, sim: KimiSimulator, client: "OpenAI") -> None:
        batch_id = create(client, upload(client)).id
        sim.add_odd_batch(self.SHAPES[0])
        page = call(sim, "GET", "/batches?after=batch_stranger").json()
        assert [batch["id"] for batch in page["data"]] == [batch_id]

    def test_an_odd_batch_without_a_last_status_counts_as_running(self, start: Start) -> None:
        sim, client = start(list_order="running_first", list_metadata=False)
        sim.add_odd_batch(self.SHAPES[0])
        sim.add_odd_batch(self.SHAPES[1])
        batch_id = create(client, upload(client)).id
        data = call(sim, "GET", "/batches").json()["data"]
        assert (data[0], data[1]["id"], data[2]) == (self.SHAPES[0], batch_id, self.SHAPES[1])


class TestSwitches:
    def ids(self, client: "OpenAI", count: int = 4) -> list[str]:
        file_id = upload(client)
        return [create(client, file_id).id for _ in range(count)]

    def page(self, client: "OpenAI", **query: Any) -> list[str]:
        return [batch.id for batch in client.batches.list(**query).data]

    def test_list_order_can_begin_with_the_oldest(self, start: Start) -> None:
        _, client = start(list_order="oldest_first")
        ids = self.ids(client)
        assert self.page(client, limit=3) == ids[:3]
        assert self.page(client, after=ids[2]) == ids[3:]

    def test_list_order_can_begin_with_the_batches_that_have_not_ended(self, start: Start) -> None:
        sim, client = start(list_order="running_first")
        ended = self.ids(client, 3)
        sim.advance(UNTIL_COMPLETED)
        running = self.ids(client, 3)
        client.batches.cancel(running[1])
        sim.advance(5)
        assert self.page(client) == [running[2], running[0], running[1], *ended[::-1]]
        assert self.page(client, after=running[0], limit=2) == [running[1], ended[2]]

    def test_list_after_can_be_ignored_so_that_every_page_is_page_one(self, start: Start) -> None:
        sim, client = start(list_after="ignored")
        ids = self.ids(client)[::-1]
        for after in (ids[1], ids[-1], "batch_gone", ""):
            reply = call(sim, "GET", f"/batches?limit=2&after={after}").json()
            assert ([batch["id"] for batch in reply["data"]], reply["has_more"]) == (ids[:2], True)

    def test_list_after_can_lead_to_empty_pages_only(self, start: Start) -> None:
        sim, client = start(list_after="empty", unknown_after="refused")
        ids = self.ids(client)[::-1]
        for after in (ids[1], ids[-1], "batch_gone"):
            reply = call(sim, "GET", f"/batches?limit=2&after={after}").json()
            assert (reply["data"], reply["has_more"]) == ([], False)
        assert self.page(client, limit=2) == ids[:2]
        assert self.page(client, after="", limit=2) == ids[:2]

    @pytest.mark.parametrize(
        ("has_more", "said"), [("honest", {"has_more": True}), ("absent", {}), ("false", {"has_more": False})]
    )
    def test_has_more_can_be_honest_absent_or_always_false(
        self, start: Start, has_more: str, said: dict[str, bool]
    ) -> None:
        sim, client = start(has_more=has_more)
        ids = self.ids(client)[::-1]
        first = call(sim, "GET", "/batches?limit=3").json()
        assert [batch["id"] for batch in first.pop("data")] == ids[:3]
        assert first == {"object": "list", **said}
        last = call(sim, "GET", f"/batches?limit=3&after={ids[2]}").json()
        assert [batch["id"] for batch in last.pop("data")] == ids[3:]
        assert last == {"object": "list", **dict.fromkeys(said, False)}

    @pytest.mark.parametrize("hidden", ["metadata", "created_at", "input_file_id"])
    def test_list_metadata_list_created_at_and_list_input_file_can_be_hidden_from_the_list_only(
        self, start: Start, hidden: str
    ) -> None:
        sim, client = start(
            list_metadata=hidden != "metadata",
            list_created_at=hidden != "created_at",
            list_input_file=hidden != "input_file_id",
        )
        batch_id = create(client, upload(client), metadata={"marker": "m1"}).id
        shape = call(sim, "GET", f"/batches/{batch_id}").json()
        assert shape["metadata"] == {"marker": "m1"}
        assert None not in (shape["created_at"], shape["input_file_id"])
        assert call(sim, "GET", "/batches").json()["data"] == [{**shape, hidden: None}]
        assert getattr(client.batches.list().data[0], hidden) is None

    @pytest.mark.parametrize(("empty_list", "data"), [("empty", []), ("null", None)])
    def test_empty_list_spells_any_list_without_rows(self, start: Start, empty_list: str, data: object) -> None:
        sim, client = start(empty_list=empty_list, models=())
        assert call(sim, "GET", "/batches").json() == {"object": "list", "data": data, "has_more": False}
        assert [call(sim, "GET", path).json()["data"] for path in ("/files", "/models")] == [data, data]
        (batch_id,) = self.ids(client, 1)
        assert self.page(client) == [batch_id]
        assert call(sim, "GET", f"/batches?after={batch_id}").json()["data"] == data

    def test_max_list_limit_cuts_a_page(self, start: Start) -> None:
        _, client = start(max_list_limit=3)
        ids = self.ids(client)[::-1]
        assert self.page(client) == ids[:3]
        assert self.page(client, limit=100) == ids[:3]
        assert [batch.id for batch in client.batches.list(limit=100)] == ids

    def test_refused_limit_refuses_a_larger_limit_but_not_the_default(self, start: Start) -> None:
        sim, client = start(refused_limit=2)
        ids = self.ids(client)[::-1]
        assert self.page(client, limit=2) == ids[:2]
        message = "Invalid request: limit must be at most 2"
        assert call(sim, "GET", "/batches?limit=3").error == (400, "invalid_request_error", message)
        assert self.page(client) == ids

    def test_unknown_after_may_be_an_empty_page_or_refused(self, start: Start) -> None:
        sim, client = start(unknown_after="empty")
        ids = self.ids(client)
        assert call(sim, "GET", "/batches?after=batch_gone").json() == {"object": "list", "data": [], "has_more": False}
        assert self.page(client, after=ids[1]) == ids[:1]
        sim, _ = start(unknown_after="refused")
        assert call(sim, "GET", "/batches?after=batch_gone").error[:2] == (400, "invalid_request_error")
        assert call(sim, "GET", "/batches?after=").status == 200

    def test_list_lag_seconds_hides_a_new_batch_whose_id_works(self, start: Start) -> None:
        sim, client = start(list_lag_seconds=10)
        batch = create(client, upload(client))
        sim.advance(9)
        assert call(sim, "GET", "/batches").json()["data"] == []
        assert client.batches.retrieve(batch.id).id == batch.id
        sim.advance(1)
        assert [listed["id"] for listed in call(sim, "GET", "/batches").json()["data"]] == [batch.id]
