"""What an account has, what results have cost, and whose batches are: who is shown what, and what it costs to know."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="Airflow 2 has no page of ours")

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.submission.identity import Attempt
from tests.support.logs import LogRecord
from tests.support.requests import ATTEMPT, order, submit, submit_prompts
from tests.ui.database import landing, manifest, store_run, store_task
from tests.ui.pages import Pages

TASK = ATTEMPT.task

#: The calls that one look at an account takes.
LOOK: list[Any] = ["get_balance", "list_files", "list_models"]


async def answer(pages: Pages, path: str, role: str = "viewer", **params: str) -> Any:
    reply = await pages.get(path, role, **params)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def holdings(pages: Pages, conn_id: str = "kimi_default") -> Any:
    """What a page shows of an account once nothing more comes."""
    seen = await answer(pages, "/account", "op", conn_id=conn_id)
    return await holdings(pages, conn_id) if seen.get("is_reading") else seen


def asked(sim: KimiSimulator) -> list[str]:
    return sorted(call.name for call in sim.journal if call.name in LOOK)


@pytest.fixture
def generous(connection: Any, sim: KimiSimulator) -> None:
    connection("kimi_default", sim, extra={"requests_per_minute": 600})


class TestHoldings:
    async def test_the_part_that_has_come_is_shown_while_the_others_are_read(
        self, pages: Pages, sim: KimiSimulator, generous: None
    ) -> None:
        sim.inject("list_files", hang_seconds=2)
        seen = await answer(pages, "/account", "op")
        assert (seen["is_reading"], seen["parts"].keys()) == (True, {"balance"})
        assert (await holdings(pages))["parts"].keys() == {"balance", "files", "models"}

    async def test_who_may_read_the_connection_sees_what_the_account_has(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        submit_prompts(hook, 1)
        seen = await holdings(pages)
        assert (seen["is_shown"], seen["error"], seen["errors"], seen["age_seconds"]) == (True, "", {}, 0)
        assert seen["place"] == {"region": None, "host": sim.base_url.split("/")[2], "currency": "CNY"}
        assert seen["parts"]["balance"] == {"amount": 1000}
        assert seen["parts"]["files"] == {"count": 1, "is_whole": True, "quota": 1000}
        assert seen["parts"]["models"]["count"] == len(seen["parts"]["models"]["names"]) > 0
        assert "kimi-k2.6" in seen["parts"]["models"]["names"]

    async def test_a_viewer_learns_nothing_of_the_account_and_nothing_is_asked(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        assert [await answer(pages, "/account", role) for role in ("viewer", "user")] == [{"is_shown": False}] * 2
        assert sim.journal == []

    async def test_a_hundred_viewers_cost_three_requests_a_minute(
        self, pages: Pages, sim: KimiSimulator, generous: None
    ) -> None:
        for seconds, looks in ((0, 1), (59, 1), (2, 2)):
            pages.now += seconds
            await asyncio.gather(*(holdings(pages) for _ in range(100)))
            assert asked(sim) == sorted(LOOK * looks)

    async def test_a_connection_that_says_nothing_is_asked_at_a_tenth_of_the_lowest_rate(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        for seconds, looks in ((0, 1), (599, 1), (2, 2)):
            pages.now += seconds
            await holdings(pages)
            assert asked(sim) == sorted(LOOK * looks)

    @pytest.mark.parametrize("name", LOOK)
    async def test_a_part_that_a_gateway_does_not_have_is_told_and_the_others_are_shown(
        self, pages: Pages, sim: KimiSimulator, generous: None, name: Any
    ) -> None:
        sim.inject(name, status=404)
        seen = await holdings(pages)
        (why,) = seen["errors"].values()
        assert "404" in why
        assert sim.api_key not in why
        assert len(seen["parts"]) == 2
        assert not seen["parts"].keys() & seen["errors"].keys()
        pages.now += 61
        assert (await holdings(pages))["errors"] == {}

    async def test_a_balance_that_comes_too_soon_is_asked_for_again(
        self, pages: Pages, sim: KimiSimulator, generous: None
    ) -> None:
        sim.inject("get_balance", times=2, status=429, retry_after=7)
        seen = await holdings(pages)
        assert (seen["parts"]["balance"], seen["errors"]) == ({"amount": 1000}, {})
        assert pages.slept >= 14

    async def test_accounts_of_two_regions_are_told_apart(self, pages: Pages, connection: Any) -> None:
        with KimiSimulator(balance=5.0) as abroad:
            connection("kimi_intl", abroad, extra={"region": "intl"})
            seen = await holdings(pages, "kimi_intl")
        assert (seen["place"]["currency"], seen["parts"]["balance"]) == ("USD", {"amount": 5})

    async def test_an_account_whose_key_is_refused_says_so_without_the_key(
        self, pages: Pages, sim: KimiSimulator, connection: Any
    ) -> None:
        connection("kimi_default", sim, password="sk-wrong-key-0123456789")
        seen = await holdings(pages)
        assert (seen["parts"], len(seen["errors"])) == ({}, 3)
        assert "sk-wrong-key-0123456789" not in str(seen)

    @pytest.mark.parametrize("conn_id", ["absent", "../x", "other"])
    async def test_what_is_no_connection_of_type_kimi_has_no_account(
        self, pages: Pages, sim: KimiSimulator, connection: Any, conn_id: str
    ) -> None:
        connection("other", sim, conn_type="http")
        assert (await pages.get("/account", "op", conn_id=conn_id)).status_code == 404
        assert sim.journal == []


class TestSpend:
    async def test_results_of_the_last_days_are_added_up(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        store_task(TaskIdentity("reviews", "1", "label"), landing(manifest("a", amount=1)))
        store_task(TaskIdentity("reviews", "2", "label"), {"manifest": manifest("b", amount=2, days_ago=10)})
        store_task(TaskIdentity("reviews", "3", "label"), landing(manifest("c", amount=None)))
        store_task(TaskIdentity("reviews", "4", "label"), landing(manifest("d", amount=4, days_ago=31)))
        seen = await answer(pages, "/spend")
        assert seen["spent"] == {
            "7": {"amounts": {"CNY": 1}, "unknown": 1},
            "30": {"amounts": {"CNY": 3}, "unknown": 1},
        }
        assert (seen["error"], seen["is_whole"], seen["age_seconds"]) == ("", True, 0)

    async def test_the_manifest_of_each_round_and_the_returned_one_count_once(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        store_task(TASK, {"manifest": manifest("a", amount=1), **landing(manifest("a", "b", amount=3))})
        store_task(TaskIdentity("reviews", "manual__1", "again"), landing(manifest("a", "b", "c", amount=7)))
        assert (await answer(pages, "/spend"))["spent"]["7"] == {"amounts": {"CNY": 7}, "unknown": 0}

    async def test_results_of_dags_that_a_user_may_not_see_are_not_counted_for_them(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        hidden = Attempt(TaskIdentity("salaries", "manual__1", "label"))
        (secret,) = submit(hook, order(["a"]), hidden, LogRecord()).batch_ids
        (known,) = submit(hook, order(["b"]), ATTEMPT, LogRecord()).batch_ids
        store_task(TaskIdentity("salaries", "manual__1", "label"), landing(manifest(secret, amount=5)))
        store_task(TASK, landing(manifest(known, amount=1)))
        by_role = {role: await answer(pages, "/spend", role) for role in ("viewer", "admin")}
        assert {role: seen["spent"]["7"]["amounts"]["CNY"] for role, seen in by_role.items()} == {
            "viewer": 1,
            "admin": 6,
        }
        assert by_role["viewer"]["batches"] == {known: {"amount": 1, "currency": "CNY", "tokens": 32, "batches": 1}}
        assert by_role["admin"]["batches"].keys() == {known, secret}

    async def test_a_manifest_that_names_a_batch_of_a_hidden_dag_says_nothing_of_it(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        hidden = Attempt(TaskIdentity("salaries", "manual__1", "label"))
        (secret,) = submit(hook, order(["a"]), hidden, LogRecord()).batch_ids
        store_task(TASK, landing(manifest(secret)))
        assert (await answer(pages, "/spend"))["batches"] == {}

    @pytest.mark.parametrize(
        "value",
        [
            None,
            7,
            "s3://bucket/xcom/1.json",
            ["batch_1"],
            manifest(*(f"batch_{number}" for number in range(50_000))),
            {"batch_ids": ["batch_1"]},
            {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]},
            manifest("a") | {"batch_ids": [{"x": 1}]},
            manifest("a") | {"batch_ids": []},
        ],
        ids=range(9),
    )
    async def test_an_xcom_that_holds_something_else_is_passed_over(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook, value: Any
    ) -> None:
        store_task(TASK, landing(value))
        assert (await answer(pages, "/spend"))["spent"]["30"] == {"amounts": {}, "unknown": 0}

    async def test_a_manifest_that_airflow_stores_as_text_counts(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        import json

        store_task(TASK, landing(json.dumps(manifest("a", amount=1))))
        assert (await answer(pages, "/spend"))["spent"]["7"]["amounts"] == {"CNY": 1}

    async def test_what_other_tasks_return_is_not_read(self, pages: Pages, sim: KimiSimulator, hook: KimiHook) -> None:
        store_task(TASK, {"return_value": manifest("a")})
        assert (await answer(pages, "/spend"))["spent"]["30"] == {"amounts": {}, "unknown": 0}

    async def test_the_database_is_read_once_a_minute_for_all(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        for seconds, amounts in ((0, {}), (59, {}), (2, {"CNY": 2.5})):
            pages.now += seconds
            seen = await asyncio.gather(*(answer(pages, "/spend") for _ in range(20)))
            assert [each["spent"]["7"]["amounts"] for each in seen] == [amounts] * 20
            if not seconds:
                store_task(TASK, landing(manifest("a")))

    async def test_a_database_that_cannot_be_read_is_told_in_words(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        from airflow import settings
        from airflow.models.xcom import XComModel

        XComModel.__table__.drop(settings.engine)
        seen = await answer(pages, "/spend")
        assert "database could not be read" in seen["error"]
        assert "spent" not in seen

    async def test_of_too_many_xcoms_the_newest_count_and_the_rest_is_told(self, pages: Pages) -> None:
        from airflow_provider_kimi.ui.airflow_records import read_recent

        for number in range(4):
            store_task(TaskIdentity("reviews", f"{number}", "label"), {"manifest": manifest(f"b{number}")})
        assert [len(read_recent(most).results) for most in (3, 5)] == [3, 4]
        assert [read_recent(most).is_whole for most in (3, 5)] == [False, True]
        assert {"b3"} in [each.batch_ids for each in read_recent(1).results]

    async def test_a_result_of_very_many_batches_ends_what_is_read_and_that_is_said(
        self, pages: Pages, hook: KimiHook
    ) -> None:
        from airflow_provider_kimi.ui.airflow_records import read_recent

        store_task(replace(TASK, task_id="older"), landing(manifest("b0")))
        store_task(replace(TASK, task_id="newer"), landing(manifest(*(f"b{n}" for n in range(1, 11)))))
        assert [len(read_recent(most_batches=most).results) for most in (11, 10, 9)] == [2, 1, 0]
        assert [read_recent(most_batches=most).is_whole for most in (11, 10, 9)] == [True, False, False]

    async def test_what_was_spent_is_told_whatever_connection_is_chosen(self, pages: Pages) -> None:
        store_task(TASK, landing(manifest("a", amount=1)))
        seen = await answer(pages, "/spend", conn_id="absent")
        assert (seen["spent"]["7"]["amounts"], seen["batches"]) == ({"CNY": 1}, {})


class TestMine:
    async def test_batches_of_runs_that_i_triggered_and_of_dags_that_i_own_are_mine(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        store_run("reviews", "manual__1", triggered_by="somebody")
        store_run("reviews", "manual__2", triggered_by="another")
        store_run("invoices", "manual__1", owners="finance, somebody")
        store_run("letters", "manual__1", owners="somebody else, somebodyelse")
        whose = {
            submit(hook, order([f"{n}"]), Attempt(TaskIdentity(dag, run, "label")), LogRecord()).batch_ids[0]: (
                dag,
                run,
            )
            for n, (dag, run) in enumerate(
                [("reviews", "manual__1"), ("reviews", "manual__2"), ("invoices", "manual__1")]
                + [("letters", "manual__1"), ("unknown", "manual__1")]
            )
        }
        seen = (await pages.batches())["batches"]
        assert len(seen) == 5
        assert {whose[batch["id"]] for batch in seen if batch["is_mine"]} == {
            ("reviews", "manual__1"),
            ("invoices", "manual__1"),
        }

    async def test_batches_that_come_later_in_the_first_read_are_mine_too(
        self, pages: Pages, sim: KimiSimulator, hook: KimiHook
    ) -> None:
        store_run("reviews", "manual__1", triggered_by="somebody")
        submit_prompts(hook, 1)
        (record,) = sim.batches.values()
        for _ in range(100):
            hook.create_batch(str(record.input_file_id))
        sim.inject("list_batches", skip=1, hang_seconds=1)
        assert len((await pages.batches())["batches"]) == 100
        pages.now += 1
        assert [batch["is_mine"] for batch in (await pages.all_batches())["batches"]] == [False] * 100 + [True]

    async def test_a_batch_of_no_dag_is_nobodys(self, pages: Pages, sim: KimiSimulator, hook: KimiHook) -> None:
        sim.add_odd_batch({"id": "batch_x", "status": "in_progress"})
        assert [batch["is_mine"] for batch in (await pages.batches())["batches"]] == [False]


class TestConnectionIds:
    async def test_connections_of_type_kimi_are_offered_to_those_who_may_read_them_by_their_ids_alone(
        self, pages: Pages
    ) -> None:
        from airflow.models.connection import Connection
        from airflow.utils.session import create_session

        with create_session() as session:
            for conn_id, conn_type in (("kimi_b", "kimi"), ("kimi_a", "kimi"), ("web", "http")):
                session.add(Connection(conn_id=conn_id, conn_type=conn_type, password="sk-secret", host="x.example"))
        assert await answer(pages, "/connections", "op") == {"connections": ["kimi_a", "kimi_b"]}
        assert await answer(pages, "/connections") == {"connections": []}


class TestBudgets:
    async def test_budgets_are_shown_to_those_alone_who_may_read_the_variables_that_define_them(
        self, pages: Pages
    ) -> None:
        from airflow.models.variable import Variable
        from airflow.utils.session import create_session

        with create_session() as session:
            session.add(Variable(key="kimi_budget_labels", val='{"amount": 100, "per": "day"}'))  # type: ignore[no-untyped-call]
            session.add(Variable(key="other", val="secret"))  # type: ignore[no-untyped-call]
        shown = (await answer(pages, "/budgets", "op"))["budgets"]
        assert [(each["name"], each["left"]) for each in shown] == [("labels", 100.0)]
        assert (await answer(pages, "/budgets", "viewer"))["budgets"] == []
