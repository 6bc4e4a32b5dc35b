"""Arrow types that hold other types."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyarrow import DataType


def inner_types(given: Any) -> "list[DataType]":
    """The types that a type holds: of its fields, of its elements, or of a dictionary's values."""
    from pyarrow import types

    if types.is_struct(given):
        return [field.type for field in given]
    if types.is_map(given):
        return [given.key_type, given.item_type]
    holders = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_dictionary)
    return [given.value_type] if any(holds(given) for holds in (*holders, types.is_run_end_encoded)) else []


def with_leaves(given: Any, leaf: "Callable[[Any], DataType]") -> "DataType":
    """The same type, plainly encoded, with `leaf` of each type that holds no other."""
    import pyarrow
    from pyarrow import types

    if not (inner := inner_types(given)):
        return leaf(given)
    made = [with_leaves(part, leaf) for part in inner]
    if types.is_struct(given):
        return pyarrow.struct([(field.name, type_) for field, type_ in zip(given, made, strict=True)])
    if types.is_map(given):
        return pyarrow.map_(*made)
    return made[0] if types.is_dictionary(given) or types.is_run_end_encoded(given) else pyarrow.list_(made[0])
