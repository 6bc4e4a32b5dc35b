"""The JSON Schemas in a request body, as Kimi takes them: those of `response_format` and of the tools."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple

import msgspec

from airflow_provider_kimi.api.schema_dialect import Problem
from airflow_provider_kimi.api.schema_rewrite import rewritten, with_own_root

#: Problems that are named; the others are likely to be of the same kind.
_SHOWN = 3

_MAX_REMEMBERED = 64

_Refuse = Callable[[str, Sequence[Problem]], None]


class SentValues(NamedTuple):
    """What is sent in place of some values of a body.

    :param changed: Keys, and their values as JSON.
    :param problems: Why some may not be sent.
    """

    changed: tuple[tuple[str, bytes], ...] = ()
    problems: tuple[str, ...] = ()

    def in_place_of(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a body, with what is sent in place of them."""
        changed = {key: value for key, value in self.changed if key in given}
        return {key: msgspec.json.decode(changed[key]) if key in changed else given[key] for key in given}


def sent_values(parameters: Mapping[str, Any]) -> SentValues:
    """Write the schemas of a body in Kimi's dialect; those that it takes stay as they are."""
    found = []
    for key in ("response_format", "tools"):
        if isinstance(value := parameters.get(key), Mapping | list | tuple):
            try:
                found.append(_sent(key, msgspec.json.encode(value)))
            except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
                continue  # JSON cannot hold it, which is said where the request is written
    return SentValues(sum((sent.changed for sent in found), ()), sum((sent.problems for sent in found), ()))


@lru_cache(_MAX_REMEMBERED)
def _sent(key: str, encoded: bytes) -> SentValues:
    """Write the schemas of one value, which most rows share."""
    problems: list[str] = []

    def refuse(what: str, found: Sequence[Problem]) -> None:
        problems.append(f"{what} {said(found)}")

    value = msgspec.json.decode(encoded)
    sent = _format(value, refuse) if key == "response_format" else _tools(value, refuse)
    if problems or sent is value:
        return SentValues((), tuple(problems))
    return SentValues(((key, msgspec.json.encode(sent)),))


def said(problems: Sequence[Problem]) -> str:
    """Say why a schema may not be sent, after its name."""
    more = f"; {len(problems) - _SHOWN} more places" if len(problems) > _SHOWN else ""
    return f"that Kimi does not take: {'; '.join(map(str, problems[:_SHOWN]))}{more}"


def _format(value: Any, refuse: _Refuse) -> Any:
    asked = value.get("json_schema") if isinstance(value, dict) and value.get("type") == "json_schema" else None
    if not isinstance(asked, dict) or not isinstance(asked.get("schema"), dict):
        return value
    sent, problems = rewritten(asked["schema"])
    if problems:
        refuse("has a JSON Schema in response_format", problems)
    return value if sent is asked["schema"] else {**value, "json_schema": {**asked, "schema": sent}}


def _tools(value: Any, refuse: _Refuse) -> Any:
    sent = [_tool(place, tool, refuse) for place, tool in enumerate(value, 1)] if isinstance(value, list) else []
    return value if all(map(is_, sent, value)) else sent


def _tool(place: int, tool: Any, refuse: _Refuse) -> Any:
    function: Any = tool.get("function") if isinstance(tool, dict) else None
    parameters = function.get("parameters") if isinstance(function, dict) else None
    if not parameters or not isinstance(parameters, dict):
        return tool
    sent, problems = rewritten(parameters)
    sent = sent if problems else with_own_root(sent)
    if not problems and sent.get("type") != "object":
        problems = [Problem("", "the parameters are not an object", "wrap them in an object with one field")]
    if problems:
        refuse(f"has a tool {place} with a JSON Schema", problems)
    return tool if sent is parameters else {**tool, "function": {**function, "parameters": sent}}
