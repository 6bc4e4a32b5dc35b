"""What the page says of an error file: codes and numbers, and none of its texts."""

import json

import pytest

from airflow_provider_kimi.ui.error_view import MOST_CODES, errors_in


def line(custom_id: str | None = None, **error: object) -> bytes:
    fields = {"error": error} | ({} if custom_id is None else {"custom_id": custom_id})
    return json.dumps(fields).encode()


def test_errors_are_counted_by_their_codes_the_most_frequent_first() -> None:
    content = b"\n".join([line("a", code="x"), *(line(str(n), code="content_filter") for n in range(3))])
    assert errors_in(content, is_whole=True) == {
        "codes": [{"code": "content_filter", "count": 3, "lines": []}, {"code": "x", "count": 1, "lines": []}],
        "is_whole": True,
    }


def test_the_first_lines_that_a_batch_failed_for_are_named() -> None:
    content = b"\n".join(line(code="bad", message=f"line {n}: 'my prompt' is too long") for n in range(1, 9))
    shown = errors_in(content, is_whole=True)
    assert shown["codes"] == [{"code": "bad", "count": 8, "lines": [1, 2, 3, 4, 5]}]
    assert "prompt" not in json.dumps(shown)


def test_a_code_that_is_a_sentence_is_not_shown() -> None:
    content = b"\n".join([line("a", code="the text of a prompt"), line("b", message="text"), b'{"error": "said so"}'])
    shown = errors_in(content, is_whole=True)
    assert {each["code"] for each in shown["codes"]} == {"other", "error"}
    assert "text" not in json.dumps(shown)


@pytest.mark.parametrize("code", ["sk-abc", "sk-kimi-0123456789abcdefABCDEF", "org:abc.def", "x9y8z7w6v5"])
def test_a_code_that_may_be_a_key_is_not_shown(code: str) -> None:
    content = line("a", code=code) + b"\n" + line(code=code, message="line 3: bad")
    assert code not in json.dumps(errors_in(content, is_whole=True))


def test_a_line_that_was_cut_does_not_count() -> None:
    content = line("a", code="x") + b"\n" + line("b", code="y")[:-5]
    assert errors_in(content, is_whole=False) == {"codes": [{"code": "x", "count": 1, "lines": []}], "is_whole": False}


def test_of_many_codes_the_most_frequent_are_shown() -> None:
    content = b"\n".join(line(str(n), code=f"code_{n}") for n in range(99))
    shown = errors_in(content, is_whole=True)
    assert (len(shown["codes"]), shown["is_whole"]) == (MOST_CODES, False)


def test_what_is_no_error_file_is_read_without_a_fault() -> None:
    for content in (b"", b"\n\n", b"[" * 9999, b"\xff\xfe", b"null\n1\n[]\n{}", b'{"custom_id": 5, "error": []}'):
        json.dumps(errors_in(content, is_whole=True), allow_nan=False)
