"""Values of template fields that Airflow must neither render nor call."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_kimi.compat import literal

#: What makes Airflow's Jinja render a text.
_TEMPLATE = re.compile(r"\{[{%#]")


def never_rendered(value: Any) -> Any:
    """Keep the value of a template field from Jinja; references to other tasks are still resolved."""
    if value is None or hasattr(value, "iter_references"):
        return value
    if isinstance(value, Iterator):
        raise ValueError(
            f"A {type(value).__name__} can be read only once, so a retry would find it empty. Pass the function that "
            "makes it, not its result: input=rows, without parentheses."
        )
    if callable(value):
        return Given(value)
    if _holds_reference(value):
        raise ValueError(
            "A list of rows or a mapping may not hold another task's output, because nothing inside it is rendered. "
            "Pass that output itself."
        )
    return literal(value)


def _holds_reference(value: Any) -> bool:
    return any(hasattr(leaf, "iter_references") for leaf in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def known(value: Any) -> Any:
    """The value of a template field while the DAG file is parsed; None if it is known only when the task runs."""
    is_template = any(isinstance(leaf, str) and _TEMPLATE.search(leaf) for leaf in _leaves(value))
    return None if is_template or _holds_reference(value) else value


@dataclass(frozen=True, repr=False)
class Given:
    """A function in a template field. Unwrapped, Airflow would call it, or show it by its address in memory.

    The address differs in every parse of the DAG file, and each parse would make a new version of the DAG.
    """

    value: Any

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """Airflow copies the tasks of a DAG when some are cleared; what a function holds may not be copyable."""
        return self

    def __repr__(self) -> str:
        name = getattr(self.value, "__qualname__", None) or type(self.value).__qualname__
        return f"<{type(self.value).__name__} {name}>"


def given(value: Any) -> Any:
    """Unwrap a function; return any other value as it is."""
    return value.value if isinstance(value, Given) else value
