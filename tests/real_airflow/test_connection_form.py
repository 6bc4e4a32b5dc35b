"""The connection form and its values, through the real API server."""

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
    assert form["extra_fields"]["region"]["schema"]["enum"] == ["cn", "intl"]


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
    assert (answer["status"], "accepts the key" in answer["message"]) == (True, True)
