"""One pass over request lines finds what would make the platform refuse the whole batch."""

import json

import pytest

from airflow_provider_kimi.batch.validation import MAX_REPORTED_PROBLEMS, InputCheck
from airflow_provider_kimi.exceptions import KimiInputError
from tests.unit.samples import request_line

MESSAGES = [{"role": "user", "content": "hi"}]
BODY = {"model": "kimi-k2.6", "messages": MESSAGES}


def problems_of(*lines: bytes, model: str | None = None) -> list[str]:
    check = InputCheck(model)
    for number, line in enumerate(lines, 1):
        check.line(f"line {number}", line)
    return check.problems


class TestAValidInputPasses:
    @pytest.mark.parametrize(
        "line",
        [
            pytest.param(request_line(), id="four keys"),
            pytest.param(request_line(note="x"), id="a key more"),
            pytest.param(request_line(body={**BODY, "max_completion_tokens": 9, "stream": False}), id="parameters"),
            pytest.param(request_line() + b"\r", id="Windows line end"),
            pytest.param(b"  " + request_line(), id="spaces"),
            pytest.param(request_line("名" * 200), id="any custom_id"),
        ],
    )
    def test_line(self, line: bytes) -> None:
        check = InputCheck()
        check.line("line 1", line)
        check.finish("Input 'x'")
        assert check.problems == []
        assert check.model == "kimi-k2.6"

    def test_sizes_count_bytes_and_newlines(self) -> None:
        """T44: bytes of multi-byte text, not characters."""
        check = InputCheck()
        line = json.dumps({**json.loads(request_line()), "note": "名"}, ensure_ascii=False).encode()
        assert len(line) == len(line.decode()) + 2
        check.line("line 1", line)
        check.line("line 2", request_line("b"))
        assert check.lines == 2
        assert check.size_bytes == len(line) + 1 + len(request_line("b")) + 1


class TestAFaultyLineIsNamedByItsPlace:
    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            pytest.param(b"", "is blank", id="empty"),
            pytest.param(b" \t\r", "is blank", id="blank"),
            pytest.param(b"\xef\xbb\xbf" + request_line(), "begins with a byte order mark", id="BOM"),
            pytest.param(b'{"custom_id": "\xff"}', "is not UTF-8 at byte 15; save the file as UTF-8", id="no UTF-8"),
            pytest.param(request_line()[:-1], "is not valid JSON (Input data was truncated)", id="cut"),
            pytest.param(b"{'custom_id': 'a'}", "is not valid JSON (", id="Python's quotes"),
            pytest.param(b'{"a": "\\ud800"}', "is not valid JSON (", id="lone surrogate"),
            pytest.param(b"[]", "is JSON, but not an object; a request is {custom_id,", id="list"),
            pytest.param(b"{}", "has no custom_id; it must be a non-empty string", id="no custom_id"),
            pytest.param(request_line(""), "has no custom_id; it must be a non-empty string", id="empty custom_id"),
            pytest.param(request_line(7), "has no custom_id; it must be a non-empty string", id="numeric custom_id"),
            pytest.param(request_line(None), "has no custom_id; it must be a non-empty string", id="null custom_id"),
            pytest.param(request_line(method="GET"), "(custom_id 'a') must have method 'POST'", id="method"),
            pytest.param(request_line(method="post"), "(custom_id 'a') must have method 'POST'", id="method's case"),
            pytest.param(
                request_line(url="/v1/embeddings"), "(custom_id 'a') must have url '/v1/chat/completions'", id="url"
            ),
            pytest.param(
                request_line(url="https://api.moonshot.cn/v1/chat/completions"),
                "(custom_id 'a') must have url '/v1/chat/completions'",
                id="full url",
            ),
        ],
    )
    def test_line(self, line: bytes, fault: str) -> None:
        (problem,) = problems_of(line)
        assert problem.startswith(f"line 1 {fault}")

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            pytest.param("{}", "has no body; it must be a chat completion request", id="no object"),
            pytest.param({"messages": MESSAGES}, "has no model in its body", id="no model"),
            pytest.param({"model": "", "messages": MESSAGES}, "has no model in its body", id="empty model"),
            pytest.param({"model": 5, "messages": MESSAGES}, "has no model in its body", id="numeric model"),
            pytest.param({"model": "kimi-k2.6"}, "has no messages in its body", id="no messages"),
            pytest.param({"model": "kimi-k2.6", "messages": []}, "has no messages in its body", id="empty messages"),
            pytest.param({"model": "kimi-k2.6", "messages": "hi"}, "has no messages in its body", id="text messages"),
            pytest.param({**BODY, "stream": True}, "sets 'stream', which a batch cannot do; leave it out", id="stream"),
        ],
    )
    def test_body(self, body: object, fault: str) -> None:
        assert problems_of(request_line(body=body)) == [f"line 1 (custom_id 'a') {fault}"]

    @pytest.mark.parametrize("key", ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty"])
    @pytest.mark.parametrize("value", [0, 1, None])
    def test_what_the_models_fix_whatever_its_value(self, key: str, value: object) -> None:
        """T53: temperature 0 makes every row fail."""
        (problem,) = problems_of(request_line(body={**BODY, key: value}))
        assert problem == (
            f"line 1 (custom_id 'a') sets '{key}', which the models fix and Kimi refuses in a batch; leave it out"
        )

    def test_a_byte_order_mark_inside_the_file_is_no_json(self) -> None:
        (problem,) = problems_of(request_line(), b"\xef\xbb\xbf" + request_line("b"))
        assert problem.startswith("line 2 is not valid JSON")

    def test_a_long_custom_id_is_cut_in_the_message(self) -> None:
        (problem,) = problems_of(request_line("x" * 100, method="GET"))
        assert problem == f"line 1 (custom_id '{'x' * 80}') must have method 'POST'"

    def test_the_prompt_is_in_no_message(self) -> None:
        body = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "TOP SECRET"}], "temperature": 0}
        assert "TOP SECRET" not in problems_of(request_line(body=body))[0]


class TestIdsAreUnique:
    """T34: two rows of one id would overwrite each other's answers."""

    def test_the_second_is_named_with_the_first(self) -> None:
        lines = [request_line("a"), request_line("b"), request_line("a")]
        assert problems_of(*lines) == [
            "line 3 (custom_id 'a') repeats the custom_id of line 1; each must be unique",
        ]

    def test_every_further_one_is_counted(self) -> None:
        (told,) = problems_of(*[request_line("a")] * 4)
        assert told.endswith("each must be unique (2 more alike)")

    def test_ids_that_differ_in_case_or_space_differ(self) -> None:
        assert problems_of(request_line("a"), request_line("A"), request_line("a ")) == []


class TestOneBatchHasOneModel:
    def test_the_first_line_sets_it(self) -> None:
        other = request_line("b", body={**BODY, "model": "kimi-k2.7-code"})
        assert problems_of(request_line("a"), other) == [
            "line 2 (custom_id 'b') asks model 'kimi-k2.7-code', but this batch uses 'kimi-k2.6'; "
            "one batch has one model"
        ]

    def test_a_given_one_binds_the_first_line_too(self) -> None:
        (problem,) = problems_of(request_line("a"), model="kimi-k2.7-code")
        assert problem.startswith("line 1 (custom_id 'a') asks model 'kimi-k2.6', but this batch uses 'kimi-k2.7-code'")


class TestTheEndOfAnInput:
    def finish(self, check: InputCheck) -> str:
        with pytest.raises(KimiInputError) as caught:
            check.finish("Input 'x'")
        return str(caught.value)

    def test_one_fault(self) -> None:
        check = InputCheck()
        check.line("line 1", b"[")
        assert self.finish(check) == (
            "Input 'x' has 1 fault: line 1 is not valid JSON (Input data was truncated). "
            "Nothing was sent. Correct the input or the task's parameters, then clear the task."
        )

    def test_faults_found_before_there_was_a_line(self) -> None:
        check = InputCheck()
        check.problem("row 1", "has null in column 'a'")
        check.line("row 2", request_line())
        check.problem("row 3", "is blank")
        assert self.finish(check).startswith(
            "Input 'x' has 2 faults: row 1 has null in column 'a'; row 3 is blank. Nothing was sent."
        )

    @pytest.mark.parametrize(
        ("count", "ending"),
        [
            pytest.param(MAX_REPORTED_PROBLEMS, "row 20 is wrong 20. Nothing", id="as many as are told"),
            pytest.param(MAX_REPORTED_PROBLEMS + 1, "row 20 is wrong 20; and 1 more. Nothing", id="one more"),
            pytest.param(1000, "row 20 is wrong 20; and 980 more. Nothing", id="many"),
        ],
    )
    def test_many_faults_are_counted_and_the_first_told(self, count: int, ending: str) -> None:
        check = InputCheck()
        for number in range(1, count + 1):
            check.problem(f"row {number}", f"is wrong {number}")
        message = self.finish(check)
        assert message.startswith(f"Input 'x' has {count} faults: row 1 is wrong 1; ")
        assert ending in message

    def test_faults_that_differ_in_their_place_only_are_told_once(self) -> None:
        """One wrong word in a prompt is one fault to a reader, however many rows it meets."""
        check = InputCheck()
        for number in range(1, 1001):
            check.problem(f"row {number}", "has no column 'txet'")
        assert "has 1000 faults: row 1 has no column 'txet' (999 more alike). Nothing" in self.finish(check)

    def test_nothing(self) -> None:
        assert self.finish(InputCheck()) == "Input 'x' is empty. Nothing was sent. A batch needs at least one row."

    @pytest.mark.parametrize("excess", [-1, 0])
    def test_a_file_of_at_most_the_limit_passes(self, excess: int) -> None:
        line = request_line()
        check = InputCheck(size_bytes=100_000_000 + excess - len(line) - 1)
        check.line("line 1", line)
        check.finish("Input 'x'")
        assert check.size_bytes == 100_000_000 + excess

    @pytest.mark.parametrize(
        ("size", "parts"),
        [
            pytest.param(100_000_001, 2, id="one byte over"),
            pytest.param(200_000_000, 2, id="twice"),
            pytest.param(200_000_001, 3, id="one byte over twice"),
        ],
    )
    def test_a_larger_one_is_refused_with_the_number_of_parts(self, size: int, parts: int) -> None:
        message = self.finish(InputCheck(lines=1234, size_bytes=size))
        assert f"makes 1,234 requests of {size:,} bytes together; one batch file may have 100,000,000 bytes" in message
        assert f"expanding the operator over {parts} or more inputs" in message
