"""Answers are found by their name, wherever they stand in the files."""

from codecs import BOM_UTF8
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.answer_files import AnswerFiles
from tests.support.samples import answer_body, answer_files, output_line


def answer(custom_id: str, content: str) -> bytes:
    return output_line(custom_id, body=answer_body(content))


def error(custom_id: str) -> bytes:
    return output_line(custom_id, response=None, error={"code": "c", "message": "m"})


def written(path: Path, *lines: bytes, ending: bytes = b"\n") -> Path:
    path.write_bytes(b"\n".join(lines) + ending)
    return path


def content_of(answers: AnswerFiles, custom_id: str) -> str | None:
    row = answers.take(custom_id)
    assert row is not None
    assert row.custom_id == custom_id
    return row.content


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@given(ids=st.lists(st.text(min_size=1), unique=True), seed=st.integers(), ending=st.sampled_from([b"\n", b""]))
def test_answers_in_any_order_are_found_by_their_id(
    ids: list[str], seed: int, ending: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The platform shuffles; nothing is joined by position."""
    shuffled = ids.copy()
    Random(seed).shuffle(shuffled)
    path = written(
        tmp_path_factory.getbasetemp() / "shuffled", *(answer(one, f"to {one}") for one in shuffled), ending=ending
    )
    with answer_files(path) as answers:
        assert [row.custom_id for row in answers.left_rows()] == shuffled
        assert [content_of(answers, one) for one in ids] == [f"to {one}" for one in ids]
        assert (answers.left, answers.duplicates, answers.unreadable) == (0, 0, 0)


def test_an_answer_with_unicode_line_ends_is_one_line(output: Path) -> None:
    """The row behind it is found at its place, too."""
    text = "one\u2028two\u0085three"
    raw = answer("a", "TEXT").replace(b"TEXT", text.encode())
    with answer_files(written(output, raw, answer("b", "plain"))) as answers:
        assert content_of(answers, "b") == "plain"
        assert content_of(answers, "a") == text


def test_answers_come_from_the_output_file_and_from_the_error_file(output: Path, tmp_path: Path) -> None:
    errors = written(tmp_path / "error", error("b"))
    with answer_files(written(output, answer("a", "yes")), errors) as answers:
        assert [row.custom_id for row in answers.left_rows()] == ["a", "b"]
        assert answers.take("b") == Row(custom_id="b", status="failed", error_code="c", error_message="m")
        assert content_of(answers, "a") == "yes"


def test_a_batch_may_have_an_error_file_only(tmp_path: Path) -> None:
    """Completed, every row failed, no output file."""
    with answer_files(None, written(tmp_path / "error", error("a"))) as answers:
        row = answers.take("a")
        assert row is not None
        assert row.status == "failed"


def test_a_batch_without_files_has_no_answers() -> None:
    with answer_files(None) as answers:
        assert answers.take("a") is None
        assert (answers.left, answers.duplicates, answers.unreadable) == (0, 0, 0)


def test_the_first_of_two_answers_with_one_id_counts(output: Path) -> None:
    with answer_files(written(output, answer("a", "first"), answer("a", "second"))) as answers:
        assert answers.duplicates == 1
        assert content_of(answers, "a") == "first"


def test_a_usable_answer_counts_before_earlier_failures_of_its_id(output: Path, tmp_path: Path) -> None:
    lines = (error("a"), answer("a", ""), answer("a", "yes"), answer("a", "again"))
    with answer_files(written(output, *lines), written(tmp_path / "error", error("a"))) as answers:
        assert answers.duplicates == 4
        assert content_of(answers, "a") == "yes"


def test_an_answer_counts_before_errors_of_its_id(output: Path, tmp_path: Path) -> None:
    errors = written(tmp_path / "error", error("a"), error("a"))
    with answer_files(written(output, answer("a", "yes")), errors) as answers:
        assert answers.duplicates == 2
        assert content_of(answers, "a") == "yes"


def test_a_row_can_be_taken_only_once(output: Path) -> None:
    with answer_files(written(output, answer("a", "yes"))) as answers:
        assert content_of(answers, "a") == "yes"
        assert answers.take("a") is None
        assert [row.custom_id for row in answers.left_rows()] == []


def test_an_id_that_was_not_asked_for_is_left_over(output: Path) -> None:
    """Foreign rows are set aside."""
    with answer_files(written(output, answer("foreign", "x"), answer("a", "yes"))) as answers:
        assert answers.take("b") is None
        assert content_of(answers, "a") == "yes"
        assert [row.custom_id for row in answers.left_rows()] == ["foreign"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(answer("b", "x")[3:], id="cut"),
        pytest.param(b"<html>502</html>", id="html"),
        pytest.param(b'{"custom_id": 7}', id="id is no text"),
        pytest.param(b'{"x": "\xff", "custom_id": "b', id="cut, and no UTF-8"),
        pytest.param(b"null", id="null"),
    ],
)
def test_a_line_that_cannot_be_read_does_not_affect_other_lines(line: bytes, output: Path) -> None:
    """That row only."""
    with answer_files(written(output, answer("a", "before"), line, answer("c", "behind"))) as answers:
        assert answers.unreadable == 1
        assert content_of(answers, "c") == "behind"
        assert content_of(answers, "a") == "before"
        assert answers.take("b") is None


@pytest.mark.parametrize("begin", [b'{"id":"b",', b'{ "id" : null, ', b"{"])
def test_a_line_that_is_cut_after_its_id_is_a_failed_row(begin: bytes, output: Path) -> None:
    cut = begin + b'"custom_id": "b", "response": {"sta'
    with answer_files(written(output, answer("a", "before"), cut, ending=b"")) as answers:
        row = answers.take("b")
        assert row is not None
        assert (row.status, row.error_code, answers.unreadable) == ("failed", "unreadable_line", 0)


def test_a_whole_line_counts_before_a_cut_line_of_the_same_id(output: Path) -> None:
    with answer_files(written(output, answer("a", "x")[:-9], answer("a", "whole"))) as answers:
        assert content_of(answers, "a") == "whole"
        assert (answers.unreadable, answers.left) == (1, 0)


def test_a_byte_order_mark_hides_no_row(output: Path) -> None:
    with answer_files(written(output, BOM_UTF8 + answer("a", "yes"), answer("b", "no"))) as answers:
        assert [content_of(answers, "b"), content_of(answers, "a")] == ["no", "yes"]


@pytest.mark.parametrize("blank", [b"", b" ", b"\r", b"\t\r"])
def test_a_blank_line_is_not_counted(blank: bytes, output: Path) -> None:
    with answer_files(written(output, blank, answer("a", "yes"), blank)) as answers:
        assert answers.unreadable == 0
        assert content_of(answers, "a") == "yes"


def test_the_answer_files_are_closed_at_the_end(output: Path) -> None:
    with answer_files(written(output, answer("a", "yes"))) as answers:
        pass
    with pytest.raises(ValueError, match="closed file"):
        answers.take("a")


def test_an_id_that_is_not_utf8_is_left_over(output: Path) -> None:
    with answer_files(written(output, b'{"custom_id": "\xff"}', answer("a", "yes"))) as answers:
        assert content_of(answers, "a") == "yes"
        assert ([row.custom_id for row in answers.left_rows()], answers.unreadable) == (["\ufffd"], 0)


def test_only_rows_that_exist_count_as_taken(output: Path) -> None:
    with answer_files(written(output, answer("a", "yes"), answer("b", "no"))) as answers:
        assert answers.taken == 0
        for custom_id in ("a", "a", "absent", "b"):
            answers.take(custom_id)
        assert answers.taken == 2
