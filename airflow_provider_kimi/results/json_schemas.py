"""Answers that have to fit a JSON Schema, and what is refused of the schema itself."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from airflow_provider_kimi.results.found_json import Check, SchemaMismatch
from airflow_provider_kimi.results.models import place

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

#: Keywords that check nothing: OpenAPI's own, and those that only note something.
_OF_OPENAPI = frozenset({"example", "nullable"})
_NOTES = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})

#: Values of every type, to see that the schema can be asked.
_SAMPLES: tuple[Any, ...] = (None, True, 1, "a", [], [1], {}, {"a": 1})


def keywords() -> set[str]:
    """Words that mean something as a key of a JSON Schema."""
    from jsonschema import Draft7Validator, Draft202012Validator

    own = {"$anchor", "$defs", "deprecated", "writeOnly", "then", "else"}
    return own | set(Draft7Validator.META_SCHEMA["properties"]) | set(Draft202012Validator.VALIDATORS)


def json_schema_check(schema: Mapping[str, Any]) -> Check:
    """Check answers against a schema; refuse a schema that could not judge any, while the DAG is parsed."""
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import Draft202012Validator, validator_for

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"output_schema is not a JSON Schema: {error.message}") from None
    named = set(_checked_parts(schema))
    validator = kind(schema, format_checker=_format_checker())
    _check_ends(validator)

    def check(value: Any) -> Any:
        try:
            error = best_match(validator.iter_errors(value))
        except RecursionError:
            raise
        except Exception as fault:
            raise SchemaMismatch(f"output_schema raises {type(fault).__name__} for the answer") from None
        if error is not None:
            raise SchemaMismatch(f"{place(error.absolute_path, named)} {_fault(error)}")
        return value

    return check


def _checked_parts(schema: Mapping[str, Any]) -> Iterator[str]:
    """Check every part of a schema, and yield the names of its fields: references lead somewhere, formats are known."""
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    def part_of(contents: Any) -> Any:
        return Resource.from_contents(contents, default_specification=DRAFT202012)

    registry: Any = Registry()
    root = part_of(schema)
    waiting = [(root, registry.with_resource(root.id() or "", root).resolver_with_root(root))]
    seen: set[int] = set()
    while waiting:
        part, resolver = waiting.pop()
        if id(part.contents) in seen or not isinstance(part.contents, Mapping):
            continue
        seen.add(id(part.contents))
        yield from part.contents.get("properties", ())
        _check_keywords(part.contents)
        _check_format(part.contents.get("format"))
        for ref in filter(None, (part.contents.get(key) for key in ("$ref", "$dynamicRef"))):
            target = _target(resolver, ref)
            waiting.append((part_of(target.contents), target.resolver))
        waiting += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]


def _check_keywords(part: Mapping[str, Any]) -> None:
    """Refuse a keyword that is misspelled: it would be ignored, and whatever is answered would fit."""
    known = keywords()
    for key in part.keys() - known - _OF_OPENAPI:
        if near := get_close_matches(str(key), known - _NOTES, n=1, cutoff=0.8):
            raise ValueError(
                f"output_schema has the keyword {key!r}, which JSON Schema does not have, so it would check nothing. "
                f"Is {near[0]!r} meant?"
            )


def _target(resolver: Any, ref: str) -> Any:
    from referencing.exceptions import Unresolvable

    try:
        return resolver.lookup(ref)
    except Unresolvable:
        raise ValueError(
            f"output_schema refers to {ref!r}, which is not in it; nothing is fetched from elsewhere. Put it into "
            "$defs, and refer to it as #/$defs/NAME."
        ) from None


def _check_format(asked: object) -> None:
    if asked is not None and asked not in (known := _format_checker().checkers):
        raise ValueError(
            f"output_schema asks for the format {asked!r}, which cannot be checked. Use a pattern, or leave it out. "
            f"Formats that are checked: {', '.join(sorted(known))}."
        )


def _check_ends(validator: Any) -> None:
    """Refuse a schema that refers to itself without an end."""
    try:
        for sample in _SAMPLES:
            validator.is_valid(sample)
    except RecursionError:
        raise ValueError("output_schema refers to itself without an end, so no answer can be checked") from None


def _format_checker() -> Any:
    """Checks the formats that jsonschema checks without extras, and moments, for which it needs one."""
    from jsonschema import FormatChecker

    formats = FormatChecker(("date", "email", "idn-email", "ipv4", "ipv6", "regex", "uuid"))
    formats.checks("date-time")(lambda value: not isinstance(value, str) or _is_moment(_INSTANT, value))
    formats.checks("time")(lambda value: not isinstance(value, str) or _is_moment(_TIME, f"{value}", "2000-01-01T"))
    return formats


def _is_moment(form: re.Pattern[str], text: str, day: str = "") -> bool:
    if not form.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(day + text.upper())
    except ValueError:
        return False
    return True


def _fault(error: Any) -> str:
    """What is wrong with a value, in words of the schema only."""
    rule, wanted = error.validator, error.validator_value
    match rule:
        case "enum":
            return f"is not one of the {len(wanted)} values of enum"
        case "type":
            return f"is not of type {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
        case "required":
            return f"lacks {', '.join(repr(name) for name in wanted if name not in error.instance)}"
        case "additionalProperties" | "unevaluatedProperties":
            return "has a field that the schema does not name"
        case "format":
            return f"is not of the format {wanted}"
    shown = f" {wanted}" if isinstance(wanted, int | float) else ""
    return f"breaks the rule {rule}{shown}"
