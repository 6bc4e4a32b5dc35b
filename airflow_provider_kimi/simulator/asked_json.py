"""The JSON that a request asks for: a value of its schema, or an object with the keys that the prompt names."""

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_kimi.simulator.json_values import Pick, value_for

#: Names of fields that hold the label.
_LABEL_KEYS = ("label", "category", "class", "classification", "answer", "sentiment", "标签", "类别", "分类", "情感")

#: How a prompt names keys: in JSON, or in a list behind a word for them.
_QUOTED_KEY = re.compile(r"[\"'“](?P<key>[^\W\d]\w{0,40})[\"'”]\s*[:：]")
_NAME = r"[\"'`“]?[^\W\d]\w{0,40}[\"'`”]?"
_LISTED_KEYS = re.compile(
    r"(?:\bkeys?|\bfields?|\bproperties|字段|键)(?:\s*(?:are|named|called|是|为|有|包括))?\s*[:：]?\s*"
    rf"(?P<keys>{_NAME}(?:\s?(?:[,，、]\s?(?:and\s)?|\band\s|和\s?){_NAME}){{0,40}})",
    re.IGNORECASE,
)
_KEY = re.compile(r"\b(?!and\b)[^\W\d]\w*")
_NUMERIC_KEY = re.compile(
    r"score|confidence|rating|count|number|price|amount|year|probability|分$|数|价", re.IGNORECASE
)


def asked_json(wanted: Any, prompt: str, text: str, labels: list[str], pick: Pick) -> Any:
    """The value that `response_format` or the prompt asks for; None if they ask for none.

    :param labels: The labels that the prompt allows; empty if it names none.
    """
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema" and (schema := _schema_of(wanted)):
        return _labelled(value_for(schema, text, pick), schema.get("properties") or {}, labels, pick)
    asking = prompt or text
    keys = _keys_of(asking)
    if kind not in ("json_object", "json_schema"):
        is_asked = "json" in asking.lower() and len(keys) > bool(labels)
        return _object(keys, text, labels, pick) if is_asked else None
    if keys and kind == "json_object":
        return _object(keys, text, labels, pick)
    return {"label": pick(labels)} if labels else {"answer": f"{len(text)} characters read."}


def _schema_of(wanted: Mapping[str, Any]) -> Any:
    asked = wanted.get("json_schema")
    schema = asked.get("schema") if isinstance(asked, dict) else None
    return schema if isinstance(schema, dict) else None


def _object(keys: list[str], text: str, labels: list[str], pick: Pick) -> Any:
    properties = {key: _schema_of_key(key) for key in keys}
    return _labelled(value_for({"properties": properties}, text, pick), properties, labels, pick)


def _labelled(value: Any, properties: Mapping[str, Any], labels: list[str], pick: Pick) -> Any:
    """Put a label of the prompt where any text is asked for under a name for labels."""
    for key, asked in properties.items() if labels and isinstance(value, dict) else ():
        rules = {rule for rule in asked if rule not in ("title", "description")} if isinstance(asked, dict) else None
        if key.lower() in _LABEL_KEYS and rules == {"type"} and asked["type"] == "string":
            value[key] = pick(labels)
    return value


def _keys_of(prompt: str) -> list[str]:
    found = _QUOTED_KEY.findall(prompt)
    if not found and (listed := _LISTED_KEYS.search(prompt)):
        found = _KEY.findall(listed["keys"])
    return list(dict.fromkeys(found))


def _schema_of_key(key: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 1} if _NUMERIC_KEY.search(key) else {"type": "string"}
