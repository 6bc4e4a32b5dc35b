"""Kimi's own JSON Schema, as published: what the schema of a `response_format` or of a tool's parameters may hold.

Source: the documents of github.com/MoonshotAI/walle (walle.md, mfjs-spec.md, validation-principles.md), seen in
November 2026, and public reports of refusals. Where its levels `strict` and `ultra` differ, or two documents do, this
is the stricter one, so that what passes here passes each of them. None of that repository's code is used.
"""

from collections.abc import Mapping
from typing import NamedTuple

#: The types that have values which an enum may hold, and all types.
SCALARS = ("string", "integer", "number", "boolean", "null")
TYPES = (*SCALARS, "object", "array")

#: What may stand beside anything, and what only the root may have.
ANNOTATIONS = frozenset({"title", "description"})
ROOT_ONLY = frozenset({"$defs", "$id"})

#: What may stand beside each type. A default has to be of that type.
OF_TYPE: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "enum", "default"}),
    "integer": frozenset({"minimum", "maximum", "enum", "default"}),
    "number": frozenset({"minimum", "maximum", "enum", "default"}),
    "boolean": frozenset({"enum", "default"}),
    "null": frozenset({"enum", "default"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
}

#: All keywords.
KEYWORDS = frozenset({"type", "anyOf", "$ref"}).union(ANNOTATIONS, ROOT_ONLY, *OF_TYPE.values())

#: Pairs of bounds, the lower one first; those of a number may be below 0.
COUNT_BOUNDS = (("minLength", "maxLength"), ("minItems", "maxItems"))
NUMBER_BOUNDS = ("minimum", "maximum")

#: Names that a property may not have.
RESERVED_NAMES = frozenset({"", "$defs", "$ref", "anyOf", "required", "additionalProperties"})

MAX_PROPERTIES = 100
MAX_LEVELS = 5
MAX_BRANCHES = 10
MAX_ENUM_VALUES = 500
MAX_BYTES = 15_000

#: An enum of more values than this may have so many bytes in all.
LONG_ENUM_VALUES = 250
MAX_LONG_ENUM_BYTES = 7_500

#: The largest whole number.
MAX_INTEGER = 2**53 - 1

#: Parts that are looked at where references are followed.
MAX_STEPS = 100_000


class Problem(NamedTuple):
    """Why a schema is refused.

    :param path: Where, as keys of the schema with slashes between them; empty for its root.
    :param rule: What is wrong there.
    :param way_out: What to do.
    """

    path: str
    rule: str
    way_out: str

    def __str__(self) -> str:
        """Say all of it in one sentence, without its full stop."""
        return f"at {self.path or 'its root'}: {self.rule}; {self.way_out}"


#: Keywords that shape an answer in a way that the dialect cannot say -> what to do.
SHAPING: Mapping[str, str] = {
    "not": "say in a description what is meant",
    **dict.fromkeys(("if", "then", "else"), "write each case as a branch of anyOf"),
    **dict.fromkeys(("dependentSchemas", "dependentRequired", "dependencies"), "write each case as a branch of anyOf"),
    "patternProperties": "name the fields in properties, or give them one form in additionalProperties",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
    **dict.fromkeys(("contains", "minContains", "maxContains"), "say in a description what the array holds"),
    **dict.fromkeys(("$dynamicRef", "$recursiveRef"), "use $ref to a name in $defs"),
}

#: Keywords that only narrow a value -> how a description says it, since the dialect does not have them.
NARROWING: Mapping[str, str] = {
    "format": "Format: {}.",
    "pattern": "Matches the regular expression {}.",
    "multipleOf": "A multiple of {}.",
    "uniqueItems": "No item is repeated.",
    "minProperties": "At least {} fields.",
    "maxProperties": "At most {} fields.",
    "propertyNames": "Each name of a field fits the JSON Schema {}.",
}

#: Keywords of the dialect that a description has to say where they may not stand.
BOUNDS_IN_WORDS: Mapping[str, str] = {
    "minLength": "At least {} characters.",
    "maxLength": "At most {} characters.",
    "minItems": "At least {} items.",
    "maxItems": "At most {} items.",
    "minimum": "At least {}.",
    "maximum": "At most {}.",
    "exclusiveMinimum": "More than {}.",
    "exclusiveMaximum": "Less than {}.",
}

#: The type that a keyword is about.
TYPE_OF: Mapping[str, str] = {
    **dict.fromkeys(("properties", "required", "additionalProperties", "minProperties", "maxProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), "string"),
    "propertyNames": "object",
}
