"""Write a JSON Schema in Kimi's dialect, where that can be done.

Every answer that fits what was given fits what is sent. A keyword that only narrows a value becomes words in its
description, so that more may fit what is sent: answers are judged by what was given. What shapes an answer in a way
that the dialect cannot say is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from airflow_provider_kimi.api import schema_dialect as dialect
from airflow_provider_kimi.api.schema_check import problems
from airflow_provider_kimi.api.schema_dialect import NARROWING, SHAPING, TYPE_OF, Problem
from airflow_provider_kimi.api.schema_graph import parts
from airflow_provider_kimi.api.schema_types import of_kind, of_values, one_of, ordered, words_of

_Path = tuple[str, ...]
_Part = dict[str, Any]

#: Keywords that say which values fit. They can be joined with those of another schema if no two are the same.
_SAYING = frozenset({"$ref", "anyOf", "oneOf", "allOf", "enum", "const", "type", *SHAPING, *TYPE_OF, *NARROWING})

#: Keywords that may stand beside $ref: they become words, or its target says them too.
_BESIDE_REF = frozenset({"$ref", "type", *dialect.BOUNDS_IN_WORDS, *NARROWING})

_ANYTHING = {"type": ["string", "number", "boolean", "null", "object", "array"]}


def rewritten(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
    """Return a schema, which is JSON, as it may be sent: as it is where Kimi takes it. Or say why it may not be."""
    if not problems(schema):
        return schema, []
    writer = _Writer(schema)
    try:
        sent = writer.root()
    except RecursionError:
        return schema, [Problem("", "it is nested too deeply", "nest fewer objects")]
    return sent, list(dict.fromkeys(writer.refused)) or problems(sent)


def with_own_root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema that Kimi takes, whose root is no reference: to a definition, it is that definition."""
    if "$ref" not in schema:
        return schema
    definitions = schema.get("$defs", {})
    return {**_root_of(schema, definitions), "$defs": definitions}


def _root_of(part: Mapping[str, Any], definitions: Mapping[str, _Part]) -> _Part:
    followed: set[str] = set()
    while (name := str(part.get("$ref")).removeprefix("#/$defs/")) in definitions and name not in followed:
        followed.add(name)
        part = definitions[name]
    return dict(part)


class _Writer:
    """Writes the parts of one schema; `refused` holds what cannot be written."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.refused: list[Problem] = []
        self._given = given
        self._names: dict[str, str] = {}
        self._definitions: dict[str, _Part] = {}

    def root(self) -> _Part:
        """Write the whole schema. A root that refers to a definition is that definition."""
        part = _root_of(self._part(self._given, ()), self._definitions)
        if isinstance(self._given.get("$id"), str):
            part["$id"] = self._given["$id"]
        used = _used(part, self._definitions)
        return {**part, "$defs": used} if used else part

    def _part(self, given: object, path: _Path) -> _Part:
        if given is True:
            return dict(_ANYTHING)
        if not isinstance(given, Mapping):
            way_out = "leave the field out" if given is False else "write a mapping of keywords"
            return self._refuse(path, f"{str(given)[:20]!r} is not the schema of a value", way_out)
        plain = self._without_all_of(given, path)
        if "$ref" in (names := _mapping(plain.get("propertyNames"))):  # words hold no reference
            plain["propertyNames"] = _at(self._given, _tokens(str(names["$ref"])))
        for keyword in (keyword for keyword in SHAPING if keyword in plain):
            self._refuse(path, f"the keyword {keyword!r} is not taken", SHAPING[keyword])
        if path and "$id" in plain:
            self._refuse(path, "'$id' stands below the root", "leave it out, and refer to #/$defs/NAME")
        body, described = self._body(plain, path)
        return _annotated(body, plain, described)

    def _body(self, plain: _Part, path: _Path) -> tuple[_Part, list[str]]:
        """Write what a schema says beside its annotations, and what its description has to say."""
        unions = [keyword for keyword in ("anyOf", "oneOf") if keyword in plain]
        if "$ref" in plain:
            return self._reference(plain, path), list(words_of(plain, TYPE_OF.keys()))
        if len(unions) == 2:
            return self._refuse(path, "'oneOf' stands beside 'anyOf'", "write one of them"), []
        if unions:
            return self._union(plain, unions[0], path), []
        if "enum" in plain or "const" in plain:
            return one_of(self._values(plain, path)), []
        kinds = _kinds(plain)
        beside = [keyword for keyword, kind in TYPE_OF.items() if keyword in plain and _is_about(kind, kinds)]
        words = list(words_of(plain, beside, kinds))
        if kinds is None:
            return dict(_ANYTHING), words
        if len(kinds) > 1 and not beside:
            return {"type": list(dict.fromkeys(kinds))}, words
        return one_of([of_kind(kind, plain, self._part, path) for kind in kinds]), words

    def _reference(self, plain: _Part, path: _Path) -> _Part:
        for keyword in sorted((plain.keys() & _SAYING) - _BESIDE_REF - SHAPING.keys()):
            self._refuse(path, f"{keyword!r} stands beside '$ref'", "move it into the definition")
        return {"$ref": self._named(plain["$ref"], path)}

    def _values(self, plain: _Part, path: _Path) -> list[_Part]:
        values = plain["enum"] if isinstance(plain.get("enum"), list) else []
        values = [plain["const"]] if "const" in plain else values
        if any(isinstance(value, dict | list) for value in values):
            self._refuse(path, "a value of enum or const is a list or an object", "write such values as text")
        if not (found := of_values(values, _kinds(plain), plain.get("default"))):
            self._refuse(path, "no value of enum or const is of its type", "correct it")
        return found

    def _union(self, plain: _Part, keyword: str, path: _Path) -> _Part:
        branches, beside = plain[keyword], {key: plain[key] for key in plain if key in _SAYING - {keyword}}
        if not isinstance(branches, list) or not branches:
            return self._refuse(path, f"{keyword} is not a list of branches", "list them")
        written = []
        for number, branch in enumerate(branches):
            place = (*path, keyword, str(number))
            if branch is not False:
                joined = self._joined(beside, branch, place) if beside and isinstance(branch, Mapping) else branch
                written.append(self._part(joined, place))
        return one_of(written)

    def _without_all_of(self, given: Mapping[str, Any], path: _Path) -> _Part:
        """A schema with the only member of allOf written into it."""
        if "allOf" not in given:
            return dict(given)
        rest = {keyword: value for keyword, value in given.items() if keyword != "allOf"}
        members = given["allOf"]
        if not isinstance(members, list) or len(members) != 1 or not isinstance(members[0], Mapping):
            self._refuse(path, "allOf has several members", "write them as one schema")
            return rest
        joined = self._joined(rest, members[0], path)
        return self._without_all_of({**joined, **{key: rest[key] for key in rest if key not in _SAYING}}, path)

    def _joined(self, one: Mapping[str, Any], other: Mapping[str, Any], path: _Path) -> _Part:
        """Join two schemas both of which have to be fitted; refuse what cannot be joined."""
        joined = {**one, **other}
        first, second = (_mapping(part.get("properties")) for part in (one, other))
        shared = {key for key in one.keys() & other.keys() & _SAYING if one[key] != other[key]}
        if "required" in shared and all(isinstance(part["required"], list) for part in (one, other)):
            joined["required"] = ordered(one["required"], other["required"])
            shared.discard("required")
        if "properties" in shared and (fields := _joined_fields(first, second)) is not None:
            joined["properties"] = fields
            shared.discard("properties")
        for part, names in ((one, second.keys() - first.keys()), (other, first.keys() - second.keys())):
            if part.get("additionalProperties", True) not in (True, {}) and names:
                shared.add("additionalProperties")
        for keyword in sorted(shared):
            self._refuse(path, f"{keyword!r} is said twice for it", "write each branch of anyOf or allOf as a whole")
        return joined

    def _named(self, ref: object, path: _Path) -> str:
        """The reference to a definition, which is written unless it is already, under a name that may stand."""
        if ref == "#":
            return "#"
        if not isinstance(ref, str) or not ref.startswith("#/"):
            self._refuse(path, f"$ref leads to {ref!r:.100}, outside of it", "put it into $defs, as in #/$defs/NAME")
            return "#"
        if ref not in self._names:
            tokens = _tokens(ref)
            target = _at(self._given, tokens)
            if not isinstance(target, Mapping | bool):
                self._refuse(path, f"$ref leads to {ref!r:.100}, where nothing is", "put it into $defs")
                return "#"
            name = self._names[ref] = _free_name(tokens[-1], self._definitions)
            self._definitions[name] = {}
            self._definitions[name] = self._part(target, tokens)
        return f"#/$defs/{self._names[ref]}"

    def _refuse(self, path: _Path, rule: str, way_out: str) -> _Part:
        self.refused.append(Problem("/".join(path), rule, way_out))
        return dict(_ANYTHING)


def _annotated(body: _Part, plain: Mapping[str, Any], words: Iterable[str]) -> _Part:
    """What a schema says, with its title, its description, and what that has to say besides."""
    texts = [plain.get("description"), body.pop("description", None), *words]
    description = " ".join(text for text in texts if isinstance(text, str) and text)
    title = {"title": plain["title"]} if isinstance(plain.get("title"), str) else {}
    if "$ref" in body and (title or description):  # its definition may have them too
        body = {"anyOf": [body]}
    return {**title, **body, **({"description": description} if description else {})}


def _joined_fields(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of two schemas; None if both say something of one, and not the same."""
    fields = {**first, **second}
    for name in (name for name in first if name in second):
        if second[name] in ({}, True):
            fields[name] = first[name]
        elif first[name] not in ({}, True, second[name]):
            return None
    return fields


def _kinds(plain: Mapping[str, Any]) -> list[Any] | None:
    """The types of a schema, or the one that its keywords are about; None if any value fits."""
    if "type" in plain:
        named = plain["type"]
        return list(map(str, named)) if isinstance(named, list) else [str(named)]
    return next(([kind] for keyword, kind in TYPE_OF.items() if keyword in plain), None)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_about(kind: str, kinds: list[Any] | None) -> bool:
    return kinds is None or kind in kinds or (kind == "number" and "integer" in kinds)


def _tokens(ref: str) -> _Path:
    return tuple(unquote(token).replace("~1", "/").replace("~0", "~") for token in ref[2:].split("/"))


def _at(schema: object, tokens: Iterable[str]) -> object:
    for token in tokens:
        if isinstance(schema, list) and token.isdecimal() and int(token) < len(schema):
            schema = schema[int(token)]
        else:
            schema = schema.get(token) if isinstance(schema, Mapping) else None
    return schema


def _free_name(name: str, taken: Iterable[str]) -> str:
    """A name of a definition without characters that mean something in a reference."""
    name = re.sub(r"[^\w.-]", "_", name) or "definition"
    while name in taken:
        name += "_"
    return name


def _used(root: _Part, definitions: Mapping[str, _Part]) -> dict[str, _Part]:
    """The definitions that a schema still needs."""
    used: dict[str, _Part] = {}
    waiting = [root]
    while waiting:
        for name in _names_in(waiting.pop()):
            if name not in used and name in definitions:
                used[name] = definitions[name]
                waiting.append(definitions[name])
    return used


def _names_in(part: _Part) -> Iterator[str]:
    for _, inner in parts(part):
        if isinstance(inner, Mapping) and isinstance(inner.get("$ref"), str):
            yield inner["$ref"].removeprefix("#/$defs/")
