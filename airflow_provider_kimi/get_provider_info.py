"""What Airflow discovers about this package."""

from typing import Any

#: Fields of the connection form beside the standard ones. Their values land in the connection's extra.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "region": {
        "label": "Region",
        "description": "Where the key was made; it works there only. cn bills in yuan, intl in US dollars. Empty: cn.",
        "schema": {
            "type": ["string", "null"],
            "enum": ["cn", "intl"],
            "default": "cn",
            "values_display": {"cn": "cn (api.moonshot.cn)", "intl": "intl (api.moonshot.ai)"},
        },
    },
    "model": {
        "label": "Default model",
        "description": "Used where an operator names none. Empty: kimi-k2.6.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout",
        "description": "Seconds per HTTP call as a whole; a file may take longer. Empty: 120.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "requests_per_minute": {
        "label": "Requests a minute",
        "description": "Most that waits of one triggerer send. Empty: 3, if no poke_interval is given.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "max_in_flight": {
        "label": "Batches in flight",
        "description": "Most batches of the account that run while a KimiBatchOperator creates more. Empty: no limit.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "console_url": {
        "label": "Console",
        "description": "Address of the link on tasks, may hold {batch_id} and {region}. Empty: the region's console.",
        "schema": {"type": ["string", "null"]},
    },
    "progress": {
        "label": "Progress",
        "description": "Whether waits push the XCom progress. Off (false) spares a slow XCom backend. Empty: true.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden_fields": ["schema", "login", "port", "extra"],
    "relabeling": {"password": "API key", "host": "Base URL"},
    "placeholders": {
        "password": "sk-..., of the open platform; not sk-kimi-...",
        "host": "empty: the region's own; else https://gateway.example.com/v1",
    },
}


def connection_form_widgets() -> dict[str, Any]:
    """Return the provider's own fields of the connection form as Airflow below 3.2 asks for them.

    It takes no select field. But it checks the values of a text field, and 3.1 makes a select of those.
    """
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import StringField
    from wtforms.validators import Optional, any_of

    choices = {"region": ["cn", "intl"], "progress": ["true", "false"]}
    return {
        name: StringField(
            lazy_gettext(field["label"]),
            widget=BS3TextFieldWidget(),
            description=field["description"],
            validators=[Optional(), any_of(choices[name])] if name in choices else (),
        )
        for name, field in CONNECTION_FIELDS.items()
    }


def get_provider_info() -> dict[str, Any]:
    """Describe the provider."""
    from airflow_provider_kimi import __version__

    package = "airflow_provider_kimi"
    return {
        "package-name": "airflow-provider-kimi",
        "name": "Kimi (Moonshot AI)",
        "description": "Batch API of Kimi (Moonshot AI).",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "kimi",
                "hook-class-name": f"{package}.hooks.kimi.KimiHook",
                "hook-name": "Kimi (Moonshot AI)",
                "conn-fields": CONNECTION_FIELDS,
                "ui-field-behaviour": {name.replace("_", "-"): value for name, value in UI_FIELD_BEHAVIOUR.items()},
            }
        ],
        "hooks": _listed("hooks.kimi"),
        "operators": _listed("operators.batch", "operators.cache", "operators.files", "operators.orphans"),
        "sensors": _listed("sensors.batch"),
        "task-decorators": [{"name": "kimi_batch", "class-name": f"{package}.decorators.kimi_batch.kimi_batch_task"}],
        "extra-links": [f"{package}.links.{name}" for name in ("KimiConsoleLink", "KimiBatchLink", "KimiResultsLink")],
        "triggers": _listed("triggers.batch", "triggers.ended_batches"),
        "integrations": [
            {"integration-name": "Kimi", "external-doc-url": "https://platform.kimi.com/docs", "tags": ["service"]}
        ],
    }


def _listed(*modules: str) -> list[dict[str, Any]]:
    return [{"integration-name": "Kimi", "python-modules": [f"airflow_provider_kimi.{name}" for name in modules]}]
