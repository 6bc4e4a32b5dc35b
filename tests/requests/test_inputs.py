"""Everything that `input` may be, read as a stream."""

import functools
import io
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import polars
import pydantic
import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.inputs import MAX_INLINE_BYTES, Input, bound
from airflow_provider_kimi.requests.tables import InputRow


def written(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def rows() -> Iterator[dict[str, int]]:
    yield {"a": 1}
    yield {"a": 2}


class Point(NamedTuple):
    a: int


@dataclass
class PointClass:
    a: int


class PointModel(pydantic.BaseModel):
    a: int


ROWS = [InputRow({"a": 1}), InputRow({"a": 2})]


@pytest.mark.parametrize("source", [["a", {"b": 1}], ("a", {"b": 1})], ids=["list", "tuple"])
def test_the_elements_of_a_list_are_numbered(source: object) -> None:
    given = Input(source)
    assert list(given) == [InputRow("a"), InputRow({"b": 1})]
    assert [given.place(1), given.place(2)] == ["element 1", "element 2"]


def test_an_empty_list_has_no_elements() -> None:
    assert list(Input([])) == []


@pytest.mark.parametrize("element", ["x" * 999, {"a": "x" * 991}, [{"a": "x" * 989}]], ids=["text", "row", "chat"])
def test_a_list_that_is_too_large_for_an_argument_is_refused(element: object) -> None:
    fitting = MAX_INLINE_BYTES // 999
    assert len(list(Input([element] * fitting))) == fitting
    with pytest.raises(KimiInputError, match=r"^input is a list of 1,002 elements and over 1,000,000 bytes\."):
        list(Input([element] * (fitting + 1)))


def test_a_list_is_read_though_json_cannot_hold_one_of_its_elements() -> None:
    loop: list[object] = []
    loop.append(loop)
    given = [object(), "\ud800", loop, {"a": 1}]
    assert [item.value for item in Input(given)] == given


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(rows, id="generator function"),
        pytest.param(lambda: [{"a": 1}, {"a": 2}], id="function that returns a list"),
        pytest.param(lambda: {"x": {"a": 1}, "y": {"a": 2}}.values(), id="or a view"),
        pytest.param(functools.partial(rows), id="partial"),
        pytest.param(rows(), id="generator"),
        pytest.param(iter([{"a": 1}, {"a": 2}]), id="iterator"),
    ],
)
def test_a_function_or_an_iterator_gives_rows(source: object) -> None:
    given = Input(source)
    assert list(given) == ROWS
    assert given.place(2) == "element 2"


def test_a_function_is_called_again_for_every_reading() -> None:
    given = Input(rows)
    assert list(given) == list(given) == ROWS


def test_a_function_is_asked_for_no_more_rows_than_needed() -> None:
    """A large table is a stream."""

    def endless() -> Iterator[str]:
        while True:
            yield "x"

    items = iter(Input(endless))
    assert [next(items), next(items)] == [InputRow("x"), InputRow("x")]


@pytest.mark.parametrize("as_list", [True, False])
def test_a_function_may_give_more_than_an_argument_may_hold(as_list: bool) -> None:
    """What a function returns is stored nowhere."""
    count = 2 * MAX_INLINE_BYTES // 1000

    def many() -> list[str] | Iterator[str]:
        texts = ("x" * 1000 for _ in range(count))
        return list(texts) if as_list else texts

    assert sum(1 for _ in Input(many)) == count


def test_a_function_that_raises_keeps_its_own_error() -> None:
    def failing() -> Iterator[str]:
        yield "a"
        raise ConnectionError("the database is away")

    with pytest.raises(ConnectionError, match="the database is away"):
        list(Input(failing))


def giving(value: Any) -> Callable[[], Any]:
    return lambda: value


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        pytest.param(None, "NoneType", id="none"),
        pytest.param({"a": 1}, "dict", id="dict"),
        pytest.param(b"a.jsonl", "bytes", id="bytes"),
        pytest.param(bytearray(b"a"), "bytearray", id="bytearray"),
        pytest.param(5, "int", id="number"),
        pytest.param(giving(None), "NoneType", id="function that gives nothing"),
        pytest.param(giving({"a": 1}), "dict", id="function that gives a dict"),
        pytest.param(giving("in.csv"), "str", id="function that gives a text"),
    ],
)
def test_an_input_of_another_kind_is_refused(source: object, kind: str) -> None:
    with pytest.raises(KimiInputError, match=rf"^input is a(?: function that returned a)? {kind}\. Nothing was sent\."):
        iter(Input(source))


@pytest.mark.parametrize("as_function", [True, False])
@pytest.mark.parametrize(
    ("value", "kind", "remedy"),
    [
        pytest.param(pandas.Series(["a"]), "Series", "its .tolist() for a prompt each", id="Series"),
        pytest.param(polars.Series(["a"]), "Series", "its .to_frame() for rows", id="Series of polars"),
        pytest.param(polars.LazyFrame({"a": [1]}), "LazyFrame", "its .collect()", id="LazyFrame"),
        pytest.param(io.StringIO("a\nb\n"), "file handle", "Give the URI of the file", id="file handle"),
        pytest.param(io.BytesIO(b"a"), "file handle", "Give the URI of the file", id="binary file handle"),
        pytest.param(OrderedDict(a=1), "OrderedDict", "one row as a list, [row]", id="any mapping"),
        pytest.param(Point(1), "Point", "one row as a list, [row]", id="one named tuple, whose values are no prompts"),
        pytest.param(PointModel(a=1), "PointModel", "one row as a list, [row]", id="one model"),
        pytest.param(b"x", "bytes", "a function that returns or yields them", id="bytes"),
        pytest.param(None, "NoneType", "a function that returns its rows or yields them", id="nothing"),
    ],
)
def test_what_holds_no_rows_is_refused_with_what_to_give_instead(
    value: Any, kind: str, remedy: str, as_function: bool
) -> None:
    with pytest.raises(KimiInputError) as caught:
        iter(Input(giving(value) if as_function else value))
    given = "a function that returned a" if as_function else "a"
    assert str(caught.value).startswith(f"input is {given} {kind}. Nothing was sent.")
    assert remedy in str(caught.value)


FRAME = {"a": [1, 2]}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(giving(pandas.DataFrame(FRAME)), id="function that returns one of pandas"),
        pytest.param(giving(polars.DataFrame(FRAME)), id="or of polars"),
        pytest.param(giving([pandas.DataFrame({"a": [n]}) for n in (1, 2)]), id="or several, as read_sql with chunks"),
        pytest.param(pandas.DataFrame(FRAME), id="one that another task has returned"),
    ],
)
def test_the_rows_of_a_data_frame_are_taken(source: object) -> None:
    assert list(Input(source)) == ROWS


def test_a_data_frame_that_is_too_large_for_an_argument_is_refused() -> None:
    with pytest.raises(KimiInputError, match=r"^input is a DataFrame of 1,100 elements and over 1,000,000 bytes\."):
        list(Input(pandas.DataFrame({"a": ["x" * 999] * 1100})))


@dataclass
class Reviews:
    """A collection of a user's own."""

    count: int

    def __iter__(self) -> Iterator[dict[str, int]]:
        return ({"a": number + 1} for number in range(self.count))


def test_a_collection_of_rows_may_be_a_data_class() -> None:
    assert list(Input(Reviews(2))) == list(Input(lambda: Reviews(2))) == ROWS


@pytest.mark.parametrize("row", [Point(1), PointClass(1), PointModel(a=1)], ids=lambda row: type(row).__name__)
def test_the_rows_of_other_libraries_are_rows(row: object) -> None:
    assert list(Input([row])) == list(Input(lambda: [row])) == ROWS[:1]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        pytest.param("s3://b/in.csv", "Input 's3://b/in.csv'", id="URI"),
        pytest.param(["TOP SECRET"], "The list given as input", id="list"),
        pytest.param(rows, "The function given as input", id="function"),
        pytest.param(rows(), "The generator given as input", id="generator"),
    ],
)
def test_an_input_is_named_without_its_content(source: object, name: str) -> None:
    assert str(Input(source)) == name


CONTEXT = {"ds": "2026-11-23", "params": {"shop": "a"}, "ti": "a task instance"}


def one_of_each(ds: str, *, params: Mapping[str, str], limit: int = 5) -> list[object]:
    return [ds, params["shop"], limit]


@pytest.mark.parametrize(
    ("function", "values"),
    [
        pytest.param(lambda: ["x"], ["x"], id="nothing"),
        pytest.param(one_of_each, ["2026-11-23", "a", 5], id="names"),
        pytest.param(lambda **context: sorted(context), ["ds", "params", "ti"], id="everything"),
        pytest.param(lambda ds, **context: [ds, *sorted(context)], ["2026-11-23", "params", "ti"], id="both"),
        pytest.param(lambda *rest: list(rest), [], id="nothing by position"),
        pytest.param(functools.partial(one_of_each, limit=7), ["2026-11-23", "a", 7], id="what a partial leaves open"),
        pytest.param(functools.partial(one_of_each, ds="fixed"), ["fixed", "a", 5], id="not what a partial holds"),
        pytest.param(functools.partial(one_of_each, "fixed"), ["fixed", "a", 5], id="by position either"),
    ],
)
def test_a_function_gets_what_it_asks_of_the_context(function: Callable[..., Any], values: list[object]) -> None:
    assert [row.value for row in Input(bound(function, CONTEXT))] == values


@pytest.mark.parametrize("source", ["in.csv", [{"a": 1}], None], ids=["URI", "list", "none"])
def test_an_input_that_is_no_function_is_not_bound(source: object) -> None:
    assert bound(source, CONTEXT) is source


def by_position(ds: str, /) -> list[str]:
    return [ds]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        pytest.param(lambda day: [day], "'day'", id="a name that the context lacks"),
        pytest.param(lambda ds, day, shop: [day], "'day', 'shop'", id="two"),
        pytest.param(lambda day, **context: [day], "'day'", id="beside the context"),
        pytest.param(by_position, "'ds'", id="by position only"),
    ],
)
def test_a_function_that_asks_for_what_the_context_lacks_is_refused_before_it_is_called(
    function: Callable[..., Any], names: str
) -> None:
    asks = rf"^input is a function that asks for {names}, which Airflow's context lacks\. Nothing was sent\."
    with pytest.raises(KimiInputError, match=rf"{asks}.*functools\.partial\(rows, "):
        iter(Input(bound(function, CONTEXT)))


def test_a_function_that_is_bound_is_still_called_a_function() -> None:
    assert str(Input(bound(rows, CONTEXT))) == "The function given as input"


def test_a_function_whose_arguments_python_does_not_know_is_called() -> None:
    assert list(Input(functools.partial(iter, [1]))) == [InputRow(1)]


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_rows_are_read_so_many_at_a_time_as_take_little_memory(size: int) -> None:
    chunks = list(Input(lambda: ({"text": "x" * size} for _ in range(300))).chunks())
    assert sum(map(len, chunks)) == 300
    assert max(len(chunk) * size for chunk in chunks) <= max(1 << 19, size)
    assert (max(map(len, chunks)) > 100) == (size == 10)
