"""The app behind the page: who gets what, and how often the platform is asked."""

import asyncio
import gc
from collections import defaultdict
from io import BytesIO
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="Airflow 2 has no page of ours")

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.ui.account import Account, NoKimiConnectionError
from airflow_provider_kimi.ui.accounts import MOST_UNREAD, Accounts
from airflow_provider_kimi.ui.app import FILES, HEADERS
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit, submit_prompts
from tests.ui.pages import Pages


def listed(sim: KimiSimulator) -> int:
    return [call.name for call in sim.journal].count("list_batches")


class TestAccess:
    async def test_every_route_is_closed_to_those_who_are_not_logged_in(self, pages: Pages) -> None:
        routes = [(route.path, method) for route in pages.app.routes for method in route.methods]  # type: ignore[attr-defined]
        own = {"/account", "/batch", "/batches", "/batches/{batch_id}/cancel", "/connections", "/spend"}
        assert {*FILES} | own <= {path for path, _ in routes}
        for path, method in routes:
            reply = await pages.send(method, path.format_map(defaultdict(lambda: "x")), role=None)
            assert reply.status_code == 401, (method, path)

    async def test_a_token_that_is_not_airflows_opens_nothing(self, pages: Pages) -> None:
        import httpx

        transport = httpx.ASGITransport(app=pages.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            replies = [
                await client.get(path, headers={"Authorization": "Bearer x.y.z"}) for path in (*FILES, "/batches")
            ]
        assert {reply.status_code for reply in replies} == {403}

    async def test_a_user_without_a_role_sees_nothing_whatever_dag_the_query_names(self, pages: Pages) -> None:
        for path in (*FILES, "/batches"):
            assert (await pages.get(path, role="", dag_id="reviews")).status_code in (401, 403), path

    async def test_a_batch_is_shown_to_those_who_may_see_its_dag(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        hidden = Attempt(TaskIdentity("salaries", "manual__1", "label"))
        submit(hook, order(["a"]), hidden, LogRecord())
        submit(hook, order(["b"]), ATTEMPT, LogRecord())
        assert {batch["dag_id"] for batch in (await pages.batches(role="admin"))["batches"]} == {"salaries", "reviews"}
        assert {batch["dag_id"] for batch in (await pages.batches())["batches"]} == {"reviews"}

    async def test_a_viewer_gets_the_page_under_a_policy_that_runs_nothing_else(self, pages: Pages) -> None:
        for path in FILES:
            reply = await pages.get(path)
            assert reply.status_code == 200
            assert "default-src 'none'; script-src 'self'" in reply.headers["content-security-policy"]
            assert reply.headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in reply.headers["content-security-policy"]

    @pytest.mark.parametrize(
        ("method", "path", "role", "status_code"),
        [
            ("GET", "/", None, 401),
            ("POST", "/batches/x/cancel", "user", 403),
            ("GET", "/absent", "viewer", 404),
            ("GET", "/batches?conn_id=absent", "viewer", 404),
            ("PUT", "/batches", "viewer", 405),
            ("GET", "/batch", "viewer", 422),
        ],
    )
    async def test_an_answer_that_says_no_is_under_the_same_policy_as_the_page(
        self, pages: Pages, method: str, path: str, role: str | None, status_code: int
    ) -> None:
        reply = await pages.send(method, path, role)
        assert reply.status_code == status_code
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS


class TestConnections:
    def test_a_connection_that_is_deleted_while_it_is_looked_at_is_none(self) -> None:
        with pytest.raises(NoKimiConnectionError):
            Accounts().of("deleted")

    async def test_connections_that_cannot_be_read_fill_no_memory(
        self, pages: Pages, sim: KimiSimulator, connection: Any
    ) -> None:
        """A secrets backend may refuse whatever id a viewer makes up."""
        for n in range(MOST_UNREAD + 20):
            connection(f"odd_{n}", sim, host="ftp://nowhere")
            assert (await pages.batches(f"odd_{n}"))["error"]
        gc.collect()
        assert sum(type(each) is Account for each in gc.get_objects()) <= MOST_UNREAD

    @pytest.mark.parametrize(
        "conn_id", ["other", "absent", "", "../x", "a/b", "http://127.0.0.1:1/", "x" * 300, "a..b"]
    )
    async def test_what_is_no_connection_of_type_kimi_is_asked_nothing_and_looks_like_none(
        self, pages: Pages, sim: KimiSimulator, connection: Any, conn_id: str
    ) -> None:
        connection("other", sim, conn_type="http")
        reply = await pages.get("/batches", conn_id=conn_id)
        assert reply.status_code == 404
        assert "of type 'kimi'. Nothing was sent." in reply.json()["detail"]
        assert sim.journal == []

    async def test_each_connection_shows_its_own_batches(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, connection: Any
    ) -> None:
        submit_prompts(hook, 3)
        with KimiSimulator(speed=0) as empty:
            connection("second", empty)
            assert len((await pages.batches())["batches"]) == 1
            assert (await pages.batches("second"))["batches"] == []


class TestReads:
    async def test_a_viewer_sees_a_batch_with_its_rows_and_its_task(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        (batch_id,) = submit_prompts(hook, 4).batch_ids
        sim.advance(13)
        shown = await pages.batches()
        assert (shown["is_whole"], shown["error"], shown["age_seconds"]) == (True, "", 0.0)
        (batch,) = shown["batches"]
        assert (batch["id"], batch["status"], batch["total"]) == (batch_id, "in_progress", 4)
        assert batch["task_path"] == "dags/reviews/runs/manual__1/tasks/label"

    async def test_a_hundred_viewers_cost_one_walk_for_each_refresh(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 3)
        before = listed(sim)
        await asyncio.gather(*(pages.batches() for _ in range(100)))
        assert listed(sim) == before + 1
        pages.now += 39
        await pages.batches()
        assert listed(sim) == before + 1
        pages.now += 2
        await asyncio.gather(*(pages.batches() for _ in range(100)))
        assert listed(sim) == before + 2

    async def test_a_connection_that_allows_many_requests_is_read_every_ten_seconds(
        self, pages: Pages, sim: KimiSimulator, connection: Any
    ) -> None:
        connection("kimi_default", sim, extra={"requests_per_minute": 500})
        for seconds, walks in ((0, 1), (9, 1), (2, 2)):
            pages.now += seconds
            await pages.batches()
            assert listed(sim) == walks

    async def test_a_thousand_batches_are_shown_newest_first(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 1)
        (record,) = sim.batches.values()
        file_id = hook.upload_file(BytesIO(sim.file_content(str(record.input_file_id))), "x.jsonl").id
        made = [hook.create_batch(file_id).id for _ in range(1000)]
        shown = await pages.all_batches()
        assert len(shown["batches"]) == 1000
        assert shown["is_whole"] is False
        assert set(made[1:]) <= {batch["id"] for batch in shown["batches"]}

    async def test_the_first_batches_are_shown_while_the_others_are_read(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 1)
        (record,) = sim.batches.values()
        for _ in range(219):
            hook.create_batch(str(record.input_file_id))
        sim.inject("list_batches", skip=1, hang_seconds=1)
        shown = await pages.batches()
        assert (len(shown["batches"]), shown["is_reading"], shown["error"]) == (100, True, "")
        shown = await pages.batches()
        assert (len(shown["batches"]), shown["is_reading"], shown["is_whole"]) == (220, False, True)
        sim.inject("list_batches", skip=1, hang_seconds=3)
        pages.now += 600
        shown = await pages.batches()
        assert (len(shown["batches"]), shown["age_seconds"]) == (220, 600), "what is known never shrinks"

    async def test_a_first_read_that_fails_midway_shows_what_it_saw_and_why(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 1)
        (record,) = sim.batches.values()
        for _ in range(119):
            hook.create_batch(str(record.input_file_id))
        sim.inject("list_batches", skip=1, times=4, status=500)
        await pages.batches()
        shown = await pages.batches()
        assert (len(shown["batches"]), shown["is_reading"], "HTTP 500" in shown["error"]) == (100, False, True)

    async def test_a_fault_shows_what_was_known_with_its_age_and_the_reason_without_the_key(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 3)
        await pages.batches()
        sim.inject("list_batches", times=2, status=500)
        pages.now += 60
        shown = await pages.batches()
        assert len(shown["batches"]) == 1
        assert shown["age_seconds"] == 60
        assert "HTTP 500" in shown["error"]
        assert sim.api_key not in shown["error"]
        before = listed(sim)
        pages.now += 5
        await pages.batches()
        assert listed(sim) == before, "a platform that fails is not asked by each viewer"
        pages.now += 600
        await pages.batches()
        pages.now += 600
        assert (await pages.batches())["error"] == ""

    async def test_a_page_that_comes_too_soon_is_asked_for_again_and_the_walk_goes_on(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 1)
        (record,) = sim.batches.values()
        file_id = hook.upload_file(BytesIO(sim.file_content(str(record.input_file_id))), "x.jsonl").id
        for _ in range(110):
            hook.create_batch(file_id)
        before = listed(sim)
        sim.inject("list_batches", skip=1, times=2, status=429, retry_after=7)
        shown = await pages.all_batches()
        assert (len(shown["batches"]), shown["error"], listed(sim)) == (111, "", 4 + before)
        assert pages.slept >= 14

    async def test_why_a_read_takes_long_is_told_while_it_goes_on(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        await pages.batches()
        sim.inject("list_batches", status=429, retry_after=7)
        sim.inject("list_batches", hang_seconds=3)
        pages.now += 60
        shown = await pages.batches()
        assert (shown["age_seconds"], "HTTP 429" in shown["error"]) == (60, True)

    async def test_a_key_that_is_refused_is_told_in_words_before_anything_is_known(
        self, pages: Pages, sim: KimiSimulator, connection: Any
    ) -> None:
        connection("kimi_default", sim, password="sk-wrong-key-0123456789")
        shown = await pages.batches()
        assert shown["batches"] == []
        assert shown["age_seconds"] is None
        assert "key" in shown["error"]
        assert "sk-wrong-key-0123456789" not in shown["error"]

    async def test_a_connection_that_is_put_right_is_taken_up(
        self, pages: Pages, sim: KimiSimulator, connection: Any
    ) -> None:
        connection("kimi_default", sim, password="sk-wrong")
        assert (await pages.batches())["error"]
        connection("kimi_default", sim)
        pages.now += 400
        assert (await pages.batches())["error"] == ""

    async def test_a_slow_platform_keeps_nobody_waiting_who_can_see_the_last_list(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        await pages.batches()
        sim.inject("list_batches", hang_seconds=6)
        pages.now += 60
        async with asyncio.timeout(5):
            shown = await pages.batches()
        assert shown["age_seconds"] == 60
