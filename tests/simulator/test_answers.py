"""What the model answers: by a responder of the test, or by word lists."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError, label_answer
from tests.simulator.conftest import Start
from tests.simulator.wire import HELLO, call, finish, line, lines, rows_of


def label(system: str, user: object, **body: Any) -> str | None:
    """What the word lists answer to a prompt."""
    messages = [{"role": "system", "content": system}] if system else []
    return label_answer(line(body={"messages": [*messages, {"role": "user", "content": user}], **body})).content


class TestLabels:
    @pytest.mark.parametrize(
        ("system", "user", "answer"),
        [
            ("Answer with exactly one of: positive, negative", "I love it, great value", "positive"),
            ("Answer with exactly one of: positive, negative", "It broke after a day", "negative"),
            ("Answer with exactly one of positive, negative or neutral.", "terrible service", "negative"),
            ("Classify the sentiment as positive, negative, or neutral.", "It arrived on Monday", "neutral"),
            ("Classify the sentiment as positive, negative, or neutral.", "whatever, chocolate badge", "neutral"),
            ("Reply with positive/negative only", "awful", "negative"),
            ("The possible labels are: good, bad", "I recommend it", "good"),
            ("Labels:\n- sports\n- politics\n- science\n\nPick one.", "Politics as usual", "politics"),
            ('Answer with JSON {"label": "spam" | "ham"}', "this is spam", "spam"),
            ("Labels: -1, 0, 1", "a clear 0", "0"),
            ("Answer yes or no", "Category: books", "no"),
            ("", "Is this review positive or negative? It was slow", "negative"),
            ("", "Labels: spam, ham\nText: lovely ham", "ham"),
            ("判断情感，只能回答：正面、负面", "酒店不错，服务热情", "正面"),
            ("判断情感，只能回答：正面、负面", "很烂的酒店", "负面"),
            ("请判断评论的情感是正面还是负面", "质量不错", "正面"),
            ("请判断评论的情感是正面还是负面", "我不满意", "负面"),
            ("判断评论的情感，只输出正面或负面。", "太差了", "负面"),
            ("判断是好评还是差评的评论", "后悔买了", "差评"),
            ("标签：好评、差评、中性。只输出标签。", "周一收到", "中性"),
            ("请从以下类别中选择一个：体育、财经、科技", "科技公司发布新品", "科技"),
            ("标签为：是、否", "否", "否"),
            ("", "请判断以下评论是正面还是负面：物流太慢，失望", "负面"),
        ],
    )
    def test_a_label_is_picked_as_the_prompt_and_the_text_say(self, system: str, user: str, answer: str) -> None:
        assert label(system, user) == answer

    def test_a_label_is_json_where_json_is_asked_for(self) -> None:
        for kind in ("json_object", "json_schema"):
            content = label("标签：好评、差评", "垃圾", response_format={"type": kind})
            assert content == '{"label": "差评"}'
        assert label("标签：好评、差评", "垃圾", response_format={"type": "text"}) == "差评"

    def test_a_label_is_read_from_the_parts_of_a_message(self) -> None:
        parts = [{"type": "image_url", "image_url": {"url": "ms://file_x"}}, {"type": "text", "text": "很烂"}]
        assert label("标签：好评、差评", parts) == "差评"

    def test_a_label_is_always_one_of_the_list(self) -> None:
        answers = {label("Labels: red, green, blue", f"thing number {number}") for number in range(50)}
        assert answers == {"red", "green", "blue"}

    def test_a_long_text_without_labels_is_read_quickly(self) -> None:
        started = time.monotonic()
        for text in ("a" * 50_000, "a," * 25_000, "好" * 50_000, "label: " * 10_000):
            assert label("", text) == f"{len(text)} characters read."
        assert time.monotonic() - started < 5

    def test_the_same_request_gets_the_same_label_on_every_simulator(self, start: Start) -> None:
        fields = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "Labels: a, b, c. Which?"}]}
        answers = [call(start()[0], "POST", "/chat/completions", fields).json() for _ in range(3)]
        for answer in answers:
            del answer["created"]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0]["choices"][0]["message"]["content"] in ("a", "b", "c")


def test_a_responder_sees_every_row_once_as_it_was_sent(start: Start) -> None:
    seen: list[Mapping[str, Any]] = []

    def respond(request: Mapping[str, Any]) -> Answer:
        seen.append(request)
        return Answer(f"for {request['custom_id']}")

    sim, client = start(options={"responder": respond})
    rows = lines(5, {"thinking": {"type": "disabled"}})
    batch = finish(sim, client, *rows)
    client.batches.retrieve(batch.id)
    assert seen == rows
    for row in rows_of(sim, batch.output_file_id):
        assert row["response"]["body"]["choices"][0]["message"]["content"] == f"for {row['custom_id']}"


def test_a_responder_may_answer_refuse_or_say_nothing(start: Start) -> None:
    replies: dict[str, Answer | RowError | None] = {
        "row-0": Answer("yes"),
        "row-1": RowError("content_filter", "no"),
        "row-2": None,
        "row-3": Answer(None, "tool_calls"),
        "row-4": Answer("", "length", reasoning_content="thinking"),
    }
    sim, client = start(options={"responder": lambda request: replies[request["custom_id"]]})
    batch = finish(sim, client, *lines(5))
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 5, "completed": 3, "failed": 1}
    choices = {row["custom_id"]: row["response"]["body"]["choices"][0] for row in rows_of(sim, batch.output_file_id)}
    assert {name: (choice["message"]["content"], choice["finish_reason"]) for name, choice in choices.items()} == {
        "row-0": ("yes", "stop"),
        "row-3": (None, "tool_calls"),
        "row-4": ("", "length"),
    }
    assert "reasoning_content" not in choices["row-0"]["message"]
    assert choices["row-4"]["message"]["reasoning_content"] == "thinking"
    assert [row["custom_id"] for row in rows_of(sim, batch.error_file_id)] == ["row-1"]


@pytest.mark.parametrize("reply", [None, RowError("bad", "no")], ids=["nothing", "errors"])
def test_a_batch_without_one_answer_has_no_output_file(start: Start, reply: RowError | None) -> None:
    sim, client = start(options={"responder": lambda request: reply})
    batch = finish(sim, client, *lines(3))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(rows_of(sim, batch.error_file_id)) == (3 if reply else 0)
    assert (batch.error_file_id is not None) == (reply is not None)


def test_a_responder_is_asked_by_a_chat_call_too(start: Start) -> None:
    replies: list[Answer | RowError | None] = [RowError("content_filter", "high risk"), None, Answer("fine")]
    sim, _ = start(options={"responder": lambda request: replies.pop(0)})
    fields = {"model": "kimi-k2.6", "messages": HELLO}
    assert call(sim, "POST", "/chat/completions", fields).error == (400, "content_filter", "high risk")
    assert call(sim, "POST", "/chat/completions", fields).error[:2] == (500, "server_error")
    assert call(sim, "POST", "/chat/completions", fields).json()["choices"][0]["message"]["content"] == "fine"


def test_a_responder_may_look_at_its_own_batch(start: Start) -> None:
    running: list[KimiSimulator] = []

    def respond(request: Mapping[str, Any]) -> Answer:
        (batch_id,) = running[0].batches
        return Answer(running[0].status(batch_id))

    sim, client = start(options={"responder": respond})
    running.append(sim)
    (row,) = rows_of(sim, finish(sim, client).output_file_id)
    assert json.dumps(row).count('"completed"') == 1
