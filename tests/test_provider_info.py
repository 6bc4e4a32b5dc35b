"""The connection form, as Airflow's versions ask for it."""

from typing import Any

import pytest

from airflow_provider_kimi.get_provider_info import CONNECTION_FIELDS, UI_FIELD_BEHAVIOUR, connection_form_widgets


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
