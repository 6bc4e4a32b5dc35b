"""Results as Parquet, with types that do not depend on what a day's values are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_kimi.results.arrow_types import reader_of

if TYPE_CHECKING:
    from pyarrow import DataType

_Row = Mapping[str, Any]

#: What a value raises that is none of the type of its column; the errors of pyarrow are such errors too.
_MISFITS = (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError)


def write_parquet(groups: Iterable[Sequence[_Row]], target: Path, types: Mapping[str, DataType]) -> Counter[str]:
    """Write rows, one group at a time, and return how many values of each column are null because none of its type.

    :param types: Of the columns, in order.
    """
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(list(types.items()))
    columns = [_Column(name, type_) for name, type_ in types.items()]
    with parquet.ParquetWriter(target, schema) as writer:
        for rows in groups:
            writer.write_table(pyarrow.Table.from_arrays([column.of(rows) for column in columns], schema=schema))
    return Counter({column.name: column.unfit for column in columns if column.unfit})


class _Column:
    """Makes the values of one column.

    :param unfit: How many were no value of its type.
    """

    def __init__(self, name: str, type_: DataType) -> None:
        self.name = name
        self.unfit = 0
        self._type = type_
        self._read = reader_of(type_)

    def of(self, rows: Sequence[_Row]) -> Any:
        values = [row.get(self.name) for row in rows]
        try:
            return self._array(values)
        except _MISFITS:
            return self._array([value if self._fits(value) else None for value in values])

    def _array(self, values: Sequence[Any]) -> Any:
        import pyarrow

        read = self._read
        made = values if read is None else [None if value is None else read(value) for value in values]
        return pyarrow.array(made, self._type)

    def _fits(self, value: Any) -> bool:
        try:
            self._array([value])
        except _MISFITS:
            self.unfit += 1
            return False
        return True
