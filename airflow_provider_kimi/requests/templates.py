"""`str.format` texts over the columns of a row: one text, or the texts of a whole conversation."""

import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from typing import Any, NoReturn

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.problems import RowProblem, listed
from airflow_provider_kimi.requests.values import BYTES, has_text, native, plain, row_of

#: What looks like a template of Airflow: `{{ ds }}`, `{{ params.day }}`. A `str.format` text hardly ever means it.
_JINJA = re.compile(
    r"(?<!\{)\{\{(?!\{)-?\s*(?:ds|ds_nodash|ts|ts_nodash|run_id|dag_run|logical_date|data_interval_(?:start|end)|params|var|conn|macros"
    r"|dag|task|ti|task_instance|prev_\w+|inlets|outlets|triggering_\w+)\b[^{}]*\}\}|\{%.*?%\}"
)

#: Types of which `str.format` writes the text.
_SIMPLE = frozenset((int, float, bool, date, datetime))

#: Doubled braces around what may be a column: `{{ text }}`, `{{text | trim}}`.
_DOUBLED = re.compile(r"(?<!\{)\{\{-?\s*([^{}|]*[^{}|\s-])\s*(?:\|[^{}]*)?-?\}\}(?!\})")


@dataclass(frozen=True)
class Template:
    """A `str.format` text over columns.

    Only plain column names are fields: `{text.attribute}` names a column called "text.attribute", so that neither
    the template nor the row can reach into Python objects. A row's text is inserted unchanged and never read again.
    """

    text: str

    @cached_property
    def _parts(self) -> list[tuple[str, str | None, str | None, str | None]]:
        if jinja := _JINJA.search(self.text):
            raise KimiInputError(
                f"The prompt template has {jinja[0][:80]!r}, which looks like Jinja; prompts are never rendered by it. "
                "Nothing was sent. Put the value into a column, or take the whole text from another task "
                "(prompt=write_prompt.output)."
            )
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise KimiInputError(
                f"The prompt template is not valid: {error}. Nothing was sent. Write a column as {{name}}, and a "
                "literal brace twice: {{ or }}."
            ) from None
        for _, column, spec, conversion in parts:
            if column == "" or (column and column.isdigit()):
                raise KimiInputError(
                    f"The prompt template has the field {{{column}}}, which names no column. Nothing was sent. Write "
                    "the column's name into it, as in {text}, or double the braces if they are literal."
                )
            if conversion or (spec and "{" in spec):
                raise KimiInputError(
                    f"The prompt template's field {{{column}}} uses a conversion or a nested field, which is not "
                    "supported. Nothing was sent. Write plain {column} fields, with a format at most: {price:.2f}."
                )
        return parts

    @cached_property
    def columns(self) -> list[str]:
        """The columns it needs, each once, in order."""
        return list(dict.fromkeys(column for _, column, _, _ in self._parts if column is not None))

    @property
    def doubled(self) -> dict[str, str]:
        """What stands in doubled braces, which are literal, and how: a mistake where a column has that name."""
        return {found[1]: found[0] for found in _DOUBLED.finditer(self.text)}

    @cached_property
    def is_plain(self) -> bool:
        """Whether no field has a format."""
        return not any(spec for _, _, spec, _ in self._parts)

    @cached_property
    def plain_parts(self) -> list[tuple[str, str | None]]:
        """Each literal text, and the column whose value follows it; None for the end."""
        return [(text, column) for text, column, _, _ in self._parts]

    @cached_property
    def has_words(self) -> bool:
        """Whether it is never blank, whatever the row holds."""
        return any(text.strip() for text, *_ in self._parts)

    def fill(self, row: Mapping[str, Any]) -> str:
        """Insert a row's values; refuse a row that lacks one, or has one that does not fit its format."""
        if not self.is_plain:
            return self._fill_carefully(row)
        try:
            return "".join([text if column is None else text + row[column] for text, column in self.plain_parts])
        except (KeyError, TypeError):  # a column is missing, or does not hold text
            return self._fill_carefully(row)

    def _fill_carefully(self, row: Mapping[str, Any]) -> str:
        if missing := [column for column in self.columns if column not in row]:
            names = ", ".join(map(repr, missing))
            hint = "" if all(name.isidentifier() for name in missing) else "; in a prompt, a literal brace is doubled"
            raise RowProblem(f"has no column {names}, which the prompt uses; it has {listed(row)}{hint}")
        pieces = [text if column is None else text + _value(row, column, spec) for text, column, spec, _ in self._parts]
        return "".join(pieces)


def _value(row: Mapping[str, Any], column: str, spec: str | None) -> str:
    value = row[column]
    if isinstance(value, str) and not spec:
        return value
    if (value := native(value)) is None:
        raise RowProblem(f"has null in column {column!r}, which the prompt uses")
    if isinstance(value, BYTES):
        _refuse(column, value)
    try:
        return format(value, spec) if spec else _text(value, column)
    except RowProblem:
        raise
    except RecursionError:
        raise RowProblem(f"is nested too deeply in column {column!r}") from None
    except (ValueError, TypeError, OverflowError, MemoryError):
        raise RowProblem(f"has a value in column {column!r} that does not fit the format {spec!r}") from None


def _text(value: Any, column: str) -> str:
    """Write a value as `str.format` does, and one that holds others as JSON."""
    if type(value) in _SIMPLE:
        return str(value)
    value = row_of(value)
    if isinstance(value, Mapping | list | tuple | Set):
        refuse = partial(_refuse, column)
        return json.dumps(plain(value, refuse), ensure_ascii=False, default=refuse)
    return format(value, "") if has_text(value) else _refuse(column, value)


def _refuse(column: str, value: object) -> NoReturn:
    if isinstance(value, BYTES):
        raise RowProblem(f"has bytes in column {column!r}, which the prompt uses as text")
    raise RowProblem(f"has a {type(value).__name__} in column {column!r}, which has no text for the prompt")


@dataclass(frozen=True)
class Conversation:
    """Messages in which every text is a template."""

    messages: Sequence[Mapping[str, Any]]

    @cached_property
    def _compiled(self) -> Any:
        return _compile(list(self.messages))

    @cached_property
    def texts(self) -> list[Template]:
        """Every text."""
        return list(map(Template, _texts(self.messages)))

    def fill(self, row: Mapping[str, Any]) -> list[Any]:
        """Insert a row's values; refuse a row that lacks one, or has one that does not fit its format."""
        filled: list[Any] = _filled(self._compiled, row)
        return filled


def _compile(value: Any) -> Any:
    if isinstance(value, str):
        template = Template(value)
        return template if template.columns else template.fill({})
    if isinstance(value, Mapping):
        return {key: _compile(part) for key, part in value.items()}
    return [_compile(part) for part in value] if isinstance(value, Sequence) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _filled(value: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(value, Template):
        return value.fill(row)
    if isinstance(value, dict):
        return {key: _filled(part, row) for key, part in value.items()}
    return [_filled(part, row) for part in value] if isinstance(value, list) else value
