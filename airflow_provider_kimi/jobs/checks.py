"""Checks of parameters that not every DAG gives. A parse of the others does not load what they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_kimi.choices import ParameterCheck, RuleOverrides
from airflow_provider_kimi.files.locations import as_uri
from airflow_provider_kimi.rendering import known
from airflow_provider_kimi.requests.text_forms import check_reads_files, read_reading
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.label_reading import LabelReading
from airflow_provider_kimi.results.parsed_shape import spread_fields
from airflow_provider_kimi.results.row_check import read_check
from airflow_provider_kimi.results.schema import read_schema

#: The parameters of a request that hold schemas.
_WITH_SCHEMAS = ("response_format", "tools")


def check_asked(
    model: str, output_schema: Any, check: ParameterCheck, rules: RuleOverrides | None, given: Mapping[str, Any]
) -> None:
    """Refuse rules that cannot be read, and schemas that cannot be sent.

    :param model: Empty if it is not known yet.
    :param rules: Those of the user.
    :param given: `request_params` and `body`, as far as they are known.
    :raises ValueError: Says which, where, and what to do.
    """
    schema = read_schema(output_schema)
    if rules is None and not has_schemas(given) and (schema is None or schema.json_schema is None):
        return
    from airflow_provider_kimi.requests.parameters import ParameterRules
    from airflow_provider_kimi.requests.recipe import Recipe

    own = ParameterRules(check, rules)
    if rules and not model:  # they may lift the check of the model that it will be
        return
    keys: dict[str, Any] = {name: value for name, value in given.items() if isinstance(value, Mapping)}
    Recipe(model, response_format=schema.response_format if schema else None, rules=own, **keys).check_schemas()


def has_schemas(given: Mapping[str, Any]) -> bool:
    """Whether parts of a request hold JSON Schemas.

    :param given: `request_params` and `body`, as far as they are known.
    """
    return any(isinstance(of, Mapping) and any(key in of for key in _WITH_SCHEMAS) for of in given.values())


def check_answers(output_schema: Any, gold_column: str | None, *, are_spread: bool, are_compared: bool) -> None:
    """Refuse a schema that is none, and parameters that its answers do not fit.

    :param are_spread: Whether fields become columns of their own.
    :param are_compared: Whether labels may move only so far.
    :raises ValueError: Says why.
    """
    schema = read_schema(output_schema)
    if are_spread:
        spread_fields(schema.shape if schema else None)
    if not LabelReading.of(schema, gold_column).has_labels and are_compared:
        raise ValueError(
            "max_drift is given; it needs answers with labels: an output_schema of labels, or one of objects whose "
            "field gold_column has some values only"
        )


def check_reading(source: object, csv_options: Mapping[str, Any] | None, encoding: str) -> None:
    """Refuse a form of text files that is none, or that the input has no use for.

    :raises ValueError: Says why.
    """
    check_reads_files(as_uri(source), csv_options, read_reading(csv_options, encoding))


def check_judging(check: object, price_list: object) -> None:
    """Refuse a check of rows that cannot be one, and a price list that cannot be read.

    :raises ValueError: Says why.
    """
    read_check(check)
    read_price_list(known(price_list), "cn")
