"""Whatever bytes a result file holds, reading it raises nothing, and no row that is there is lost."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.files.line_ids import id_of, is_whole
from airflow_provider_kimi.records.rows import ROW_STATUSES
from airflow_provider_kimi.results.answer_lines import read_row
from tests.support.samples import answer_body, answer_files, output_line

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
COUNT = st.none() | st.integers(-1, 2**70) | st.floats(0, 9) | st.booleans() | st.just("7")
DETAILS = (
    st.none()
    | st.dictionaries(st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens"]), COUNT)
    | ANY_JSON
)


def sometimes(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which each key may be absent, of the usual kind, or anything."""
    return st.fixed_dictionaries({}, optional={key: part | ANY_JSON for key, part in parts.items()})


MESSAGE = sometimes(content=st.text(), reasoning_content=st.text(), tool_calls=st.lists(ANY_JSON, max_size=1))
CHOICE = sometimes(message=MESSAGE, finish_reason=st.sampled_from(["stop", "length", "content_filter", "", None]))
USAGE = sometimes(
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    cached_tokens=COUNT,
    cache_write_tokens=COUNT,
    prompt_tokens_details=DETAILS,
    completion_tokens_details=DETAILS,
)
ERROR = st.none() | st.text() | sometimes(code=st.text(), type=st.text(), message=st.text())
BODY = sometimes(choices=st.lists(CHOICE, max_size=2), model=st.text(), usage=USAGE, error=ERROR)
RESPONSE = sometimes(status_code=st.sampled_from([200, 0, None, 400, 200.0, True, False]), body=BODY)
LINE = sometimes(response=RESPONSE, error=ERROR).map(lambda line: {**line, "custom_id": "a"})


@given(line=LINE)
@settings(max_examples=4 * settings().max_examples)
def test_the_fast_reader_and_the_lenient_reader_agree(line: dict[str, Any]) -> None:
    """What is no JSON for strict readers, beside the answer, keeps a line from being read in one go."""
    usual = json.dumps(line).encode()
    closely = usual[:-1] + b',"odd":NaN}'
    assert read_row(usual) == read_row(closely)


@given(line=LINE, escaped=st.booleans())
def test_every_line_with_a_custom_id_gets_a_status_and_a_code(line: dict[str, Any], escaped: bool) -> None:
    text = json.dumps(line, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    row = read_row(text)
    assert (row.custom_id, id_of(text)) == ("a", "a")
    assert row.status in ROW_STATUSES
    assert (row.status == "succeeded") is (row.error_code is None)
    assert row.content is None or row.content.encode("utf-8").decode("utf-8") == row.content


@st.composite
def broken_lines(draw: st.DrawFn) -> bytes:
    """An answer to `broken` in which bytes were cut out, put in, or written over; or any bytes."""
    text = draw(st.text(max_size=5)) + "MARK"
    body = draw(st.sampled_from([answer_body(text), answer_body(None, "tool_calls", tool_calls=[{"id": text}])]))
    odd = draw(st.binary(max_size=3).filter(lambda piece: not set(piece) & set(b'"\\')))
    line = bytearray(output_line("broken", body=body).replace(b"MARK", odd))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(line)))
        line[begin : begin + draw(st.integers(0, 30))] = draw(st.binary(max_size=4))
    return bytes(draw(st.just(line) | st.binary(max_size=40))).replace(b"\n", b" ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("fuzz")


@given(
    lines=st.lists(broken_lines(), max_size=6),
    ids=st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=4),
    ending=st.sampled_from([b"\n", b"\r\n"]),
    last=st.booleans(),
    data=st.data(),
)
@settings(max_examples=3 * settings().max_examples)
def test_broken_lines_do_not_affect_other_rows(
    lines: list[bytes], ids: list[str], ending: bytes, last: bool, data: st.DataObject, folder: Any
) -> None:
    whole = {one: output_line(one, body=answer_body(f"to {one}")) for one in ids}
    mixed = data.draw(st.permutations([*lines, *whole.values()]))
    content = ending.join(mixed) + (ending if last else b"")
    (folder / "output").write_bytes(content)
    with answer_files(folder / "output") as answers:
        for one in ids:
            row = answers.take(one)
            assert row is not None
            assert (row.status, row.content) == ("succeeded", f"to {one}")
        set_aside = answers.left + answers.duplicates + answers.unreadable + bool(answers.batch_error)
        assert set_aside <= len(lines), "nothing is counted that is not there"
        assert answers.lines["output"] == sum(bool(line.strip()) for line in mixed)
        list(answers.left_rows())


@given(content=st.binary())
def test_a_result_file_of_any_bytes_can_be_read(content: bytes, folder: Any) -> None:
    (folder / "any").write_bytes(content)
    with answer_files(folder / "any", folder / "any") as answers:
        for row in answers.left_rows():
            assert answers.take(row.custom_id) is not None
    assert is_whole(content) in (True, False)
