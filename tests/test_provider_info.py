"""What Airflow's versions ask of the provider's description, and of its connection form."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_kimi.get_provider_info import (
    CONNECTION_FIELDS,
    UI_FIELD_BEHAVIOUR,
    connection_form_widgets,
    get_provider_info,
)


def schema_of_airflow(name: str) -> Any:
    """A schema that this Airflow checks providers with."""
    schema = json.loads((files("airflow") / f"{name}.schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def test_the_description_holds_to_the_schema_of_this_airflow() -> None:
    """Airflow 3.4 leaves out a provider that does not; those before it stop looking for others."""
    schema = schema_of_airflow("provider_info")
    assert list(schema.iter_errors(get_provider_info())) == []
    assert list(schema.iter_errors(get_provider_info() | {"triggers": [{"python-modules": []}]}))


def test_the_behaviour_of_the_form_holds_to_the_schema_of_this_airflow() -> None:
    schema = schema_of_airflow("customized_form_field_behaviours")
    assert list(schema.iter_errors(UI_FIELD_BEHAVIOUR)) == []
    assert list(schema.iter_errors(UI_FIELD_BEHAVIOUR | {"hidden_fields": "port"}))


def test_airflow_lists_the_provider() -> None:
    manager: Any = ProvidersManager
    found = manager().providers[get_provider_info()["package-name"]]
    assert found.data["connection-types"] == get_provider_info()["connection-types"]


@pytest.mark.parametrize("name", CONNECTION_FIELDS)
def test_every_field_has_a_label_a_help_text_and_may_be_empty(name: str) -> None:
    field = CONNECTION_FIELDS[name]
    assert field["label"]
    assert 30 < len(field["description"]) < 110
    assert "Empty: " in field["description"]
    assert "null" in field["schema"]["type"]


def test_every_value_of_the_region_is_shown_with_its_host() -> None:
    schema = CONNECTION_FIELDS["region"]["schema"]
    assert set(schema["values_display"]) == set(schema["enum"]) == {"cn", "intl"}


def test_standard_fields_that_are_shown_have_a_help_text() -> None:
    shown = {"host", "password"}
    assert shown.isdisjoint(UI_FIELD_BEHAVIOUR["hidden_fields"])
    assert set(UI_FIELD_BEHAVIOUR["placeholders"]) == shown


class Sent(dict[str, str]):
    """What a browser sends of a form."""

    def getlist(self, name: str) -> list[str]:
        """The values of a field."""
        return [self[name]] if name in self else []


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({}, set()),
        (dict.fromkeys(CONNECTION_FIELDS, ""), set()),
        ({"region": "intl", "progress": "false", "timeout": "30"}, set()),
        ({"region": "us", "progress": "no"}, {"region", "progress"}),
    ],
    ids=["nothing", "empty", "values", "wrong values"],
)
def test_the_form_below_airflow_3_takes_empty_fields_and_refuses_an_unknown_region(
    sent: dict[str, str], wrong: set[str]
) -> None:
    wtforms: Any = pytest.importorskip("wtforms", reason="only Airflow 2 brings it")
    form = type("Form", (wtforms.Form,), dict(connection_form_widgets()))(Sent(sent))
    assert form.validate() is not bool(wrong)
    assert set(form.errors) == wrong
