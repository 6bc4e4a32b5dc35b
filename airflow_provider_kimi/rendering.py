"""What Jinja makes of template fields, and values that Airflow must neither render nor call."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from types import NoneType
from typing import Any, Self

from airflow_provider_kimi.compat import BaseOperator, literal, render_template_to_string

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
    return literal(_plain(value))


def _plain(value: Any) -> Any:
    """A text of a class of its own, such as a member of an Enum, as plain text; any other value as it is."""
    return str.__str__(value) if isinstance(value, str) else value


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


@dataclass(frozen=True, repr=False, eq=False)
class GivenRows(Given):
    """Rows in a template field that is rendered. Unwrapped, Airflow would store and show their texts."""

    def __repr__(self) -> str:
        kind = type(self.value).__name__
        if isinstance(self.value, Mapping | bytes):
            return kind
        try:
            number = len(self.value)
        except Exception:  # of a class of its own; what is shown must not fail the task
            return kind
        return f"{kind} of {number:,} row{'s' * (number != 1)}"


def _without_texts(value: Any) -> Any:
    """Wrap the rows of a rendered input; a location, a function, and no input stay as they are."""
    is_location = isinstance(value, str | PurePath) or hasattr(value, "protocol")
    return value if value is None or is_location or isinstance(value, Given) else GivenRows(value)


def given(value: Any) -> Any:
    """Unwrap a function, or rows; return any other value as it is."""
    return value.value if isinstance(value, Given) else value


#: Fields that may hold more than text -> what an expression gives them where the DAG renders native objects.
_OBJECTS: Mapping[str, tuple[type, ...]] = {
    "input": (Iterable,),
    "request_params": (Mapping, list, tuple, int, float, NoneType),
    "finish_by": (timedelta,),
}

#: Arguments of the user's own function, which come as in any other task of the DAG.
_ARGUMENTS = ("op_args", "op_kwargs")


class TextTemplates(BaseOperator):
    """An operator whose templates give the same text in every DAG.

    With `render_template_as_native_obj=True` Airflow reads each text as Python once it is rendered: `1_000` would
    become 1000, `None` nothing, and a quoted text would lose its quotes.
    """

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Any, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        """Render fields; Airflow calls this for a mapped task too."""
        dag = self.get_dag()
        for name in template_fields:
            env = jinja_env
            if parent is self and dag is not None and name not in _ARGUMENTS:
                env = dag.get_template_env(force_sandboxed=True)
                env.keep_trailing_newline |= name == "request_params"  # a text to stop at may be one
                if self._is_native(dag):
                    env.finalize = _Expressions(env.finalize, _OBJECTS.get(name, ()))
            super()._do_render_template_fields(parent, [name], context, env, seen_oids)
            if parent is self and name == "input":
                setattr(self, name, _without_texts(getattr(self, name)))

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render a value; a member of an Enum of texts is its text, not its name."""
        return super().render_template(_plain(content), *args, **kwargs)

    def _is_native(self, dag: Any) -> bool:
        own = getattr(self, "render_template_as_native_obj", None)  # from Airflow 3.3 on
        return bool(dag.render_template_as_native_obj if own is None else own)

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:
        expressions = template.environment.finalize
        if not isinstance(expressions, _Expressions):
            return super()._render(template, context, dag)
        return expressions.value(render_template_to_string(template, context))


@dataclass
class _Expressions:
    """What the expressions of a template give. Jinja calls it with each of them, before it is text.

    :param finalize: What the DAG itself has Jinja call.
    :param taken: Types whose values are taken as they are.
    """

    finalize: Callable[[Any], Any] | None
    taken: tuple[type, ...]
    values: list[Any] = field(default_factory=list)

    def __call__(self, value: Any) -> Any:
        self.values.append(value if self.finalize is None else self.finalize(value))
        return self.values[-1]

    def value(self, text: str) -> Any:
        """Return what a template gives: the value of its one expression if that is taken, else its text."""
        values, self.values = self.values, []
        is_one = len(values) == 1 and isinstance(values[0], self.taken) and str(values[0]) == text
        return values[0] if is_one else text
