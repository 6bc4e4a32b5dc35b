"""Which label an answer gives, and which one a cell of the gold column means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.found_json import SchemaMismatch
from airflow_provider_kimi.results.labels import read_labels
from airflow_provider_kimi.results.parsed_shape import Fields, ListOf, Shape, choices_of
from airflow_provider_kimi.results.schema import AnswerSchema


@dataclass(frozen=True)
class LabelReading:
    """How labels are read.

    :param gold_column: The column of the input with labels that are known to be right; None for none.
    :param read_gold: Returns the value that a text of that column means, or raises a SchemaMismatch.
    :param has_labels: Whether the answers have labels, which are few, rather than any text.
    :param is_parsed: Whether answers have a value.
    """

    gold_column: str | None
    read_gold: Callable[[str], Any]
    has_labels: bool
    is_parsed: bool

    @classmethod
    def of(cls, schema: AnswerSchema | None, gold_column: str | None) -> LabelReading:
        """Find how answers of a schema are read.

        :raises ValueError: Answers have nothing that the gold column could be compared with.
        """
        if schema is None:
            return cls(gold_column, str, has_labels=False, is_parsed=False)
        if schema.of_values is None:
            return cls(gold_column, schema.read, has_labels=True, is_parsed=True)
        shape = schema.shape if gold_column is None else _compared(schema.shape, gold_column)
        choices = choices_of(schema.of_values, gold_column)
        if choices:
            return cls(gold_column, _reader(choices), has_labels=True, is_parsed=True)
        read = {"int64": _whole_number, "float64": _number}.get(str(shape), str)
        return cls(gold_column, read, shape == "int64", is_parsed=True)

    def gold(self, cell: Any) -> str:
        """The label that a cell of the gold column means, which is not empty.

        :raises SchemaMismatch: It means none.
        """
        return text_of(self.read_gold(text_of(cell)))

    def answer(self, row: Row) -> str | None:
        """The label of a usable answer; None if it has none."""
        value = row.parsed if self.is_parsed else row.content
        if isinstance(value, Mapping):
            return None if self.gold_column is None else text_of(value.get(self.gold_column))
        return None if value is None else text_of(value)


def text_of(value: Any) -> str:
    """A value of JSON as one text, which is the same for 1 and 1.0."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def is_empty(cell: Any) -> bool:
    """Whether a cell of the gold column holds no label."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _compared(shape: Shape, gold_column: str) -> Shape:
    """The shape of what is compared with the gold column."""
    if isinstance(shape, ListOf):
        raise ValueError(
            f"gold_column is {gold_column!r}, and the answers of output_schema are lists, which no label is compared "
            "with. Leave it out, or ask for a label."
        )
    if not isinstance(shape, Fields):
        return shape
    fields = dict(shape.fields)
    if gold_column not in fields:
        raise ValueError(
            f"gold_column is {gold_column!r}; it must be the name of a column of the input and of a field of the "
            f"answers, and output_schema has {', '.join(map(repr, fields)):.300}"
        )
    return fields[gold_column]


def _reader(choices: list[Any]) -> Callable[[str], Any]:
    """Read a text as one of several values; 1.0 is 1, as a column of whole numbers with gaps is often written."""
    try:
        read = read_labels(choices)
    except ValueError:  # they are not of one kind
        return str

    def read_either(text: str) -> Any:
        try:
            return read(text)
        except SchemaMismatch:
            return read(text_of(_number(text)))

    return read_either


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SchemaMismatch("it is not a number") from None


def _whole_number(text: str) -> int:
    """Read a text as a whole number, also as 4.0, which is how a column with gaps is often written."""
    try:
        return int(text)
    except ValueError:
        number = _number(text)
    if not number.is_integer():
        raise SchemaMismatch("it is not a whole number")
    return int(number)
