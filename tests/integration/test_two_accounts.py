"""Two accounts in one process: each platform gets its own key and its own batches."""

import json

import pytest

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.support.triggers import created, fired


def test_waits_for_two_accounts_in_one_triggerer_send_each_platform_its_own_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with KimiSimulator(api_key="sk-of-one") as one, KimiSimulator(api_key="sk-of-another") as another:
        triggers = []
        for number, sim in enumerate((one, another)):
            fields = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
            monkeypatch.setenv(f"AIRFLOW_CONN_KIMI_{number}", json.dumps(fields))
            ids = created(KimiHook(f"kimi_{number}"), 4)
            sim.advance(60)
            triggers += [
                KimiBatchTrigger(batch_ids=[batch_id], kimi_conn_id=f"kimi_{number}", poll_interval=5.0)
                for batch_id in ids
            ]
        events = fired(triggers)
        assert {event.outcome for event in events} == {"ended"}
        for sim in (one, another):
            assert all(call.authorized for call in sim.journal)
            assert {"create_batch", "list_batches"} <= {call.name for call in sim.journal}
