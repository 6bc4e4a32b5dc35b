"""The connection form and its values, through the real API server."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.get_provider_info import CONNECTION_FIELDS
from tests.real_airflow.conftest import World

pytestmark = pytest.mark.real_airflow


@pytest.fixture(scope="module")
def form(world: World) -> Any:
    (found,) = [
        meta for meta in world.airflow.call("GET", "/ui/connections/hook_meta") if meta["connection_type"] == "kimi"
    ]
    return found


def test_the_connection_type_has_its_name_and_its_own_fields(form: Any) -> None:
    assert form["hook_name"] == "Kimi (Moonshot AI)"
    assert set(form["extra_fields"]) == set(CONNECTION_FIELDS)
    assert all(field["description"] for field in form["extra_fields"].values())


def test_the_region_is_a_choice_that_names_its_hosts(form: Any) -> None:
    schema = form["extra_fields"]["region"]["schema"]
    assert schema["enum"] == ["cn", "intl"]
    assert schema["values_display"]["intl"] == "intl (api.moonshot.ai)"


def test_a_form_that_is_saved_without_filling_it_in_is_a_working_connection(world: World, form: Any) -> None:
    """But for the key, and the host of the simulator. The page sends every field, and null for one that is cleared."""
    untouched = {name: field["value"] for name, field in form["extra_fields"].items()}
    for name, extra in {"untouched": untouched, "cleared": dict.fromkeys(untouched)}.items():
        host, _, port = world.platform.base_url.removesuffix("/v1").rpartition(":")
        fields = {"connection_id": f"kimi_{name}", "conn_type": "kimi", "host": host, "port": int(port)}
        body = {**fields, "extra": json.dumps(extra), "password": world.platform.api_key}
        world.airflow.call("POST", "/api/v2/connections", body)
        answer = world.airflow.call("POST", "/api/v2/connections/test", body)
        assert answer["status"], answer["message"]
        assert "kimi-k2.6 of this connection" in answer["message"]


def test_standard_fields_of_a_connection_are_named_for_what_they_hold(form: Any) -> None:
    shown = form["standard_fields"]
    assert shown["password"]["title"] == "API key"
    assert shown["host"]["title"] == "Base URL"
    assert shown["login"]["hidden"]


def test_a_saved_key_is_never_shown_again(world: World) -> None:
    connection = {"connection_id": "kimi_saved", "conn_type": "kimi", "password": "sk-very-secret-key"}
    world.airflow.call("POST", "/api/v2/connections", connection)
    assert "sk-very-secret-key" not in str(world.airflow.call("GET", "/api/v2/connections/kimi_saved"))


def test_the_test_button_accepts_a_connection_with_a_port(world: World) -> None:
    """Without one the button cannot work: it sends port 0, which Airflow takes for another server."""
    host, _, port = world.platform.base_url.removesuffix("/v1").rpartition(":")
    fields = {"connection_id": "kimi_button", "conn_type": "kimi", "host": host, "port": int(port)}
    world.airflow.call("POST", "/api/v2/connections", {**fields, "password": world.platform.api_key})
    shown = world.airflow.call("GET", "/api/v2/connections/kimi_button")
    sent = {name: shown[name] or "" for name in ("host", "login", "password", "schema", "description")}
    body = {**fields, **sent, "extra": shown["extra"] or "{}", "port": int(shown["port"] or 0)}
    answer = world.airflow.call("POST", "/api/v2/connections/test", body)
    assert answer["status"]
    for found in ("accepts the key. It may use ", " Balance: ", " CNY. Files: "):
        assert found in answer["message"]
