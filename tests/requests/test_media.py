"""Images and videos stand before the text of the last user message."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.requests.media import with_media
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.recipe import Recipe

IMAGE = {"type": "image_url", "image_url": {"url": "ms://1"}}
VIDEO = {"type": "video_url", "video_url": {"url": "ms://2"}}
TEXT = {"type": "text", "text": "u"}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param("u", [IMAGE, VIDEO, TEXT], id="text"),
        pytest.param([TEXT], [IMAGE, VIDEO, TEXT], id="parts"),
        pytest.param("", [IMAGE, VIDEO], id="empty text"),
        pytest.param([], [IMAGE, VIDEO], id="no parts"),
        pytest.param(None, [IMAGE, VIDEO], id="no content"),
    ],
)
def test_media_stand_before_the_text(content: object, parts: list[object]) -> None:
    assert with_media([{"role": "user", "content": content, "name": "n"}], [IMAGE, VIDEO]) == [
        {"role": "user", "content": parts, "name": "n"}
    ]


def test_media_go_into_the_last_user_message_and_no_other_is_changed() -> None:
    first, last = {"role": "user", "content": "first"}, {"role": "user", "content": "u"}
    answer = {"role": "assistant", "content": "a"}
    given = [first, answer, last, answer]
    assert with_media(given, [IMAGE]) == [first, answer, {"role": "user", "content": [IMAGE, TEXT]}, answer]
    assert last == {"role": "user", "content": "u"}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"role": "system", "content": "s"}], id="only others"),
        pytest.param([], id="empty"),
        pytest.param(None, id="none"),
        pytest.param("user", id="text"),
        pytest.param(5, id="number"),
        pytest.param({"role": "user", "content": "u"}, id="one message"),
        pytest.param(["user"], id="texts"),
    ],
)
def test_media_need_a_user_message(messages: object) -> None:
    with pytest.raises(RowProblem, match=r"^has media, but its messages have none of the user to put them into$"):
        with_media(messages, [IMAGE])


@pytest.mark.parametrize("content", [5, True, {"type": "text", "text": "TOP SECRET"}])
def test_media_need_a_content_that_is_text_or_a_list(content: object) -> None:
    with pytest.raises(RowProblem, match=r"^has media, but the content of its last user message is neither text nor"):
        with_media([{"role": "user", "content": content}], [IMAGE])


@pytest.mark.parametrize(
    ("parameters", "item"),
    [
        pytest.param({}, "u", id="prompt"),
        pytest.param({"prompt": "{a}"}, {"a": "u"}, id="prompt over a row"),
        pytest.param({"messages": [{"role": "user", "content": "{a}"}]}, {"a": "u"}, id="messages"),
        pytest.param({"messages": lambda row: row["a"]}, {"a": "u"}, id="function"),
        pytest.param({"body": {"messages": [{"role": "user", "content": "{a}"}]}}, {"a": "u"}, id="body"),
    ],
)
def test_a_request_line_holds_its_media_however_its_messages_are_made(parameters: dict[str, Any], item: object) -> None:
    body = json.loads(Recipe("m", **parameters).way.line(item, "k", [IMAGE]))["body"]
    assert body["messages"] == [{"role": "user", "content": [IMAGE, TEXT]}]


@pytest.mark.parametrize("made", [{}, {"messages": 5}, {"messages": {"role": "user"}}])
def test_a_row_with_media_is_refused_if_a_function_makes_no_messages(made: dict[str, object]) -> None:
    with pytest.raises(RowProblem, match="has media, but its messages have none of the user"):
        Recipe("m", body=lambda row: made).way.line({}, "k", [IMAGE])
