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
from airflow_provider_kimi.files.locations import located
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
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b'{"a":  1}\r\n', [b'{"a":  1}\r'], id="spaces and all"),
        pytest.param(b"\n\xff\n", [b"", b"\xff"], id="problems are found later"),
        pytest.param(b"\xef\xbb\xbf{}", [b"\xef\xbb\xbf{}"], id="byte order mark, too"),
        pytest.param(
            "x\u2028y\u0085z\n{{ a }}".encode(),
            ["x\u2028y\u0085z".encode(), b"{{ a }}"],
            id="text that looks like a line end or a template",
        ),
    ],
)
def test_a_ready_file_is_read_line_by_line_byte_for_byte(content: bytes, lines: list[bytes], tmp_path: Path) -> None:
    given = Input(written(tmp_path, "in.jsonl", content), ready=True)
    assert [item.value for item in given] == lines
    assert [given.place(number + 1) for number in range(len(lines))] == [f"line {n + 1}" for n in range(len(lines))]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param(b'{"custom_id": "\xff"}', "is not UTF-8 at byte 15; save the file as UTF-8", id="no UTF-8"),
        pytest.param("{'客户'}".encode("gbk"), "is not UTF-8 at byte 2; it looks like GB18030: pass", id="GBK"),
        pytest.param(b'{"a": "\\ud800"}', "is not valid JSON (", id="lone surrogate"),
    ],
)
def test_text_that_is_not_unicode_is_a_problem_of_its_line(line: bytes, problem: str, tmp_path: Path) -> None:
    good = '{"a": "名"}'.encode()
    first, second, third = Input(written(tmp_path, "in.jsonl", b"\n".join([good, line, good])), ready=True)
    assert (first, second.value, third) == (InputRow(good), line, InputRow(good))
    assert str(second.problem).startswith(problem)


def test_a_table_cannot_be_sent_without_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(KimiInputError, match=r"is a table\. Nothing was sent\. Pass prompt='\.\.\. {column} \.\.\.'"):
        list(Input(written(tmp_path, "in.csv", b"a\n1\n"), ready=True))


@pytest.mark.parametrize("name", ["in.xml", "in.parquet.zst", "in", "in.JSONL.ZIP", "in.xlsx"])
def test_a_uri_of_another_kind_of_file_is_refused(name: str) -> None:
    with pytest.raises(KimiInputError, match=r"ends in none of \.jsonl, .*\. Nothing was sent\."):
        list(Input(name))


@pytest.mark.parametrize("name", ["a b.jsonl", "a#b.jsonl", "a?b.jsonl", "a%41.jsonl", "a[1].jsonl", "名.jsonl"])
def test_a_uri_may_have_any_name(name: str, tmp_path: Path) -> None:
    uri = written(tmp_path, name, b'{"a": 1}')
    assert list(Input(uri)) == [InputRow({"a": 1})]
    assert list(Input(f"file://{uri}")) == [InputRow({"a": 1})]


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.csv"])
def test_a_uri_of_a_file_that_does_not_exist_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(KimiInputError, match=r"absent\.\w+' does not exist\. Nothing was sent\."):
        list(Input(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["in.jsonl", "in"])
def test_a_uri_of_an_empty_directory_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(KimiInputError, match=r"has no files in it\. Nothing was sent\."):
        list(Input(str(tmp_path / name), ready=True))


def test_a_uri_on_an_unknown_storage_is_refused() -> None:
    with pytest.raises(KimiInputError, match=r"'nope://x\.jsonl' cannot be opened"):
        list(Input("nope://x.jsonl", ready=True))


def test_a_file_is_read_no_further_than_asked(tmp_path: Path) -> None:
    """A large file is a stream."""
    items = iter(Input(written(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": 2}\n')))
    assert next(items) == InputRow({"a": 1})
    assert next(items) == InputRow({"a": 2})
    assert next(items, None) is None


def test_a_uri_may_be_read_again(tmp_path: Path) -> None:
    given = Input(written(tmp_path, "in.jsonl", b'{"a": 1}\n{"a": 2}\n'))
    assert list(given) == list(given) == ROWS
    assert given.place(2) == "line 2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, "c.jsonl", b'{"a": 4}\n')
    written(tmp_path, "a.jsonl", b'{"a": 1}\n{"a": 2}\n')
    written(tmp_path, "aa.jsonl", b"")
    written(tmp_path, "b.csv", b"a\n\n3\n")
    return tmp_path


def test_several_files_are_read_in_the_order_of_their_names(folder: Path) -> None:
    values = [item.value for item in Input(str(folder))]
    assert values == [{"a": 1}, {"a": 2}, {"a": "3"}, {"a": 4}]


def test_each_of_several_files_numbers_its_own_rows(folder: Path) -> None:
    given = Input(str(folder))
    list(given)
    places = [("line 1", "a.jsonl"), ("line 2", "a.jsonl"), ("row 1", "b.csv"), ("line 1", "c.jsonl")]
    for _ in list(given), None:
        found = [given.place(number).split(" of ") for number in range(1, 5)]
        assert [(place, Path(uri).name) for place, uri in found] == places


def test_only_rows_that_were_read_are_named_by_their_file(folder: Path) -> None:
    given = Input(str(folder))
    items = iter(given)
    next(items)
    assert given.place(1) == "line 1"


def test_several_files_are_refused_as_ready_requests_if_one_is_a_table(folder: Path) -> None:
    with pytest.raises(KimiInputError, match=r"b\.csv' is a table\. Nothing was sent\."):
        list(Input(str(folder), ready=True))


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        pytest.param("/data/in.csv", "file:///data/in.csv", id="bare path"),
        pytest.param("s3://bucket/in.csv", "s3://bucket/in.csv", id="URI"),
        pytest.param("file:///data/in.csv", "file:///data/in.csv", id="file URI"),
        pytest.param("in.csv", f"file://{Path.cwd()}/in.csv", id="relative path"),
    ],
)
def test_a_bare_path_is_a_file(uri: str, location: str) -> None:
    assert located(uri) == location


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
