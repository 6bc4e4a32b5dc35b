"""The parameters of a request body, judged by the rules of its model before they are paid for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from airflow_provider_kimi.api.catalogue import (
    BATCH_MODELS,
    OUTPUT_CAP_KEYS,
    PARAMETER_RULES,
    PARAMETER_TYPES,
    RETIRED_MODELS,
    THINKING_FLOOR_TOKENS,
    ParameterRule,
)
from airflow_provider_kimi.choices import ParameterCheck, RuleOverrides
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.sent_schemas import SentValues, sent_values
from airflow_provider_kimi.requests.tools import tool_problems

_Rules = dict[str, ParameterRule | None]

_NOT_THINKING = {"thinking": {"type": "disabled"}}

#: Bounds of `stop` (chat reference).
MAX_STOPS = 5
MAX_STOP_BYTES = 32

#: What `response_format` may be (chat reference).
RESPONSE_FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one body.

    :param problems: Why it may not be sent; none if the check is off.
    :param dropped: Keys to take out.
    :param warnings: What is allowed, and likely to be a mistake.
    :param changed: Keys whose JSON Schemas are sent in another form, and what is sent.
    :param can_drop: Whether `drop` would take out some of what the problems name.
    :param without_reasoning: What to do about an earlier answer that calls tools and has no `reasoning_content`; None
        if it needs none.
    """

    problems: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changed: tuple[tuple[str, bytes], ...] = ()
    can_drop: bool = False
    without_reasoning: str | None = field(default=None, compare=False)


class ParameterRules:
    """The rules for request bodies.

    :param mode: What becomes of a body that breaks one.
    :param overrides: Rules of the user, which count before the published ones.
    :raises ValueError: They cannot be read.
    """

    def __init__(self, mode: ParameterCheck = "fail", overrides: RuleOverrides | None = None) -> None:
        self.mode = mode
        try:
            own = msgspec.convert({} if overrides is None else overrides, dict[str, _Rules])
        except msgspec.ValidationError as error:
            raise ValueError(
                f"parameter_rules is {overrides!r}; it must be a mapping from patterns of models to keys, and from "
                "each key to one of {'fixed': 'to what'}, {'forbidden': 'why'}, {'conflicts': ['key']}, with 'values': "
                f"[...] where only these are meant, or to None, which lifts a rule ({error})"
            ) from None
        self._by_pattern = (*PARAMETER_RULES.items(), *own.items())
        self._by_model: dict[str, _Rules] = {}

    def _of_model(self, model: str) -> _Rules:
        """The rules that hold for a model, with None for a key that the user has lifted all rules from."""
        if model not in self._by_model:
            fitting = (rules for pattern, rules in self._by_pattern if fnmatchcase(model, pattern))
            self._by_model[model] = {key: rule for rules in fitting for key, rule in rules.items()}
        return self._by_model[model]

    def judge(self, model: str, parameters: Mapping[str, Any]) -> Verdict:
        """Judge a body's keys other than its model and messages."""
        if self.mode == "off":
            return Verdict()
        broken: dict[str, str] = {}
        rules = self._of_model(model)
        for key, rule in rules.items():
            if rule is not None and key in parameters and (problem := _broken(key, rule, parameters)):
                broken[key] = problem
        if broken and self.mode == "drop":  # without these keys, others may break a rule
            rest = self.judge(model, {key: value for key, value in parameters.items() if key not in broken})
            return replace(rest, dropped=(*broken, *rest.dropped))
        judged = {key: value for key, value in self._without_lifted(model, parameters).items() if key not in broken}
        sent = sent_values(judged)
        refused = map("{}; parameter_check='off' sends it as it is".format, sent.problems)
        problems = (*broken.values(), *_malformed(judged), *refused)
        without_reasoning = _without_reasoning(rules, parameters)
        return Verdict(problems, (), _warnings(parameters), sent.changed, bool(broken), without_reasoning)

    def sent(self, model: str, parameters: Mapping[str, Any]) -> SentValues:
        """Write the JSON Schemas of a body as Kimi takes them."""
        return SentValues() if self.mode == "off" else sent_values(self._without_lifted(model, parameters))

    def _without_lifted(self, model: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        lifted = {key for key, rule in self._of_model(model).items() if rule is None}
        return {key: value for key, value in parameters.items() if key not in lifted}


def _without_reasoning(rules: _Rules, parameters: Mapping[str, Any]) -> str | None:
    rule, thinking = rules.get("reasoning_content"), rules.get("thinking")
    if rule is None or _state(parameters) not in rule.needed_with_tool_calls:
        return None
    add = "give the one that came with the answer"
    always_thinks = thinking is not None and _broken("thinking", thinking, _NOT_THINKING) is not None
    return f"{add}; this model always thinks" if always_thinks else f"{add}, or turn thinking off"


def _broken(key: str, rule: ParameterRule, parameters: Mapping[str, Any]) -> str | None:
    value = parameters[key]
    if rule.values is not None and _named_value(rule, value) is None:
        return None
    if rule.fixed is not None:
        return f"sets {key!r}, which the model fixes ({rule.fixed}) and Kimi refuses in a batch; leave it out"
    if rule.forbidden is not None:
        return f"sets {key!r}{_shown(rule, value)}, which Kimi refuses in a batch: {rule.forbidden}; leave it out"
    thinking = _state(parameters)
    other = next((name for name in rule.conflicts if name in parameters or name == thinking), None)
    if other is None:
        return None
    remedy = "turn thinking off or leave the other out" if other == thinking else "keep one of them"
    return f"sets {key!r}{_shown(rule, value)} beside {other.replace(':', ' ')!r}, which the model refuses; {remedy}"


def _shown(rule: ParameterRule, value: object) -> str:
    """Show a value only as a rule names it: then it is not data."""
    return "" if rule.values is None else f" to {_named_value(rule, value)!r}"


def _named_value(rule: ParameterRule, value: object) -> Any:
    """The value of a rule that a body has; None if it has none of them."""
    return next((named for named in rule.values or () if named == value or _is_part(named, value)), None)


def _is_part(named: object, value: object) -> bool:
    if not isinstance(named, Mapping) or not isinstance(value, Mapping):
        return False
    return all(pair in value.items() for pair in named.items())


def _state(parameters: Mapping[str, Any]) -> str:
    return f"thinking:{'enabled' if thinks(parameters) else 'disabled'}"


def thinks(parameters: Mapping[str, Any]) -> bool:
    """Whether the model thinks before it answers, which is its default."""
    thinking = parameters.get("thinking")
    return not (isinstance(thinking, Mapping) and thinking.get("type") == "disabled")


def _malformed(parameters: Mapping[str, Any]) -> list[str]:
    """What the chat reference refuses for every model."""
    problems = [
        f"has a {key!r} that is not {described}"
        for key, (kind, described) in PARAMETER_TYPES.items()
        if parameters.get(key) is not None and not _is_a(kind, parameters[key])
    ]
    stops, tools, wanted = (parameters.get(key) for key in ("stop", "tools", "response_format"))
    stops = [stops] if isinstance(stops, str) else stops if isinstance(stops, list) else []
    if len(stops) > MAX_STOPS:
        problems.append(f"has {len(stops)} stop texts; {MAX_STOPS} are allowed")
    if any(isinstance(stop, str) and len(stop.encode("utf-8", "replace")) > MAX_STOP_BYTES for stop in stops):
        problems.append(f"has a stop text over {MAX_STOP_BYTES} bytes")
    problems += tool_problems(tools)
    if isinstance(wanted, Mapping) and wanted.get("type") not in RESPONSE_FORMATS:
        problems.append(f"has a response_format whose type is none of {', '.join(RESPONSE_FORMATS)}")
    return problems


def _is_a(kind: Any, value: object) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _warnings(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    warnings = []
    for key in OUTPUT_CAP_KEYS:
        cap = parameters.get(key)
        if isinstance(cap, int) and cap < THINKING_FLOOR_TOKENS and thinks(parameters):
            warnings.append(
                f"{key} covers thinking as well as the answer, and is below {THINKING_FLOOR_TOKENS:,}: the answer may "
                "come out empty, and is billed all the same; raise it, or turn thinking off"
            )
    for key in sorted(parameters.keys() - PARAMETER_TYPES.keys()):
        if near := get_close_matches(key, PARAMETER_TYPES, n=1, cutoff=0.85):
            warnings.append(f"{key!r} is not a known parameter; is {near[0]!r} meant? It is sent as it is")
    if _has_array_root(parameters):
        warnings.append(
            "the JSON schema of response_format has an array as its root, which comes back unreliably: wrap it in an "
            "object with one key"
        )
    return tuple(warnings)


def _has_array_root(parameters: Mapping[str, Any]) -> bool:
    schema: Any = parameters.get("response_format")
    for key in ("json_schema", "schema"):
        schema = schema.get(key) if isinstance(schema, Mapping) else None
    return isinstance(schema, Mapping) and schema.get("type") == "array"


def wants_json(parameters: Mapping[str, Any]) -> bool:
    """Whether a body asks for JSON mode, which the model follows only if a message says so too."""
    wanted = parameters.get("response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") == "json_object"


def check_model(model: str) -> str | None:
    """Refuse a model that is known not to answer; return a warning for one that is not known to be batchable."""
    known = ", ".join(BATCH_MODELS)
    if pattern := next((pattern for pattern in RETIRED_MODELS if fnmatchcase(model, pattern)), None):
        near = get_close_matches(model, BATCH_MODELS, n=1, cutoff=0.85) if model != pattern else None
        problem = "does not exist" if near else f"was retired on {RETIRED_MODELS[pattern]} and does not answer any more"
        question = f"Is {near[0]!r} meant? " if near else ""
        raise KimiInputError(
            f"Model {model!r} {problem}. Nothing was sent. {question}Models that can be batched: {known}."
        )
    if model in BATCH_MODELS:
        return None
    return f"Model {model!r} is not on the published list of batch models ({known}); the platform may fail the batch."


def check_offered(model: str, offered: list[str]) -> None:
    """Refuse a model that the platform does not offer to this key, and name the nearest ones."""
    if offered and model not in offered:
        near = get_close_matches(model, offered, n=3, cutoff=0.4) or offered[:3]
        raise KimiInputError(
            f"Model {model!r} is not among the {len(offered)} models that the platform offers to this key; a batch of "
            f"it would fail. Nothing was sent. The nearest: {', '.join(near)}. Batches are known to run on "
            f"{', '.join(BATCH_MODELS)}."
        )
