"""The messages of a request: roles, contents, and where images may lie."""

import msgspec
import pytest

from airflow_provider_kimi.requests.parameters import ParameterRules
from airflow_provider_kimi.requests.problems import RowProblem
from airflow_provider_kimi.requests.validation import RequestCheck, check_messages, media_url_problem
from tests.support.samples import request_line

TEXT = {"type": "text", "text": "hi"}
EMPTY = "has an empty content in message 1; the platform refuses it"
NO_ROLE = "has a message 1 whose role is none of system, user, assistant, tool"
NO_LIST = "has no messages in its body; they are a list of objects with role and content"


def problem_of(messages: object) -> str:
    with pytest.raises(RowProblem) as caught:
        check_messages(msgspec.Raw(msgspec.json.encode(messages)))
    return caught.value.detail


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({"model": "m"}, NO_LIST, id="none"),
        pytest.param({"model": "m", "messages": None}, NO_LIST, id="null"),
        pytest.param({"model": "m", "messages": "hi"}, NO_LIST, id="text"),
        pytest.param({"model": "m", "messages": ["hi"]}, NO_LIST, id="texts"),
        pytest.param({"model": "m", "messages": [{"content": "hi"}]}, NO_ROLE, id="no role"),
        pytest.param({"model": "m", "messages": []}, "has no messages in its body", id="empty"),
    ],
)
def test_a_request_without_messages_is_refused_by_name(body: object, problem: str) -> None:
    with pytest.raises(RowProblem) as caught:
        RequestCheck(None, ParameterRules()).passed(request_line("k", body=body))
    assert (caught.value.detail, caught.value.custom_id) == (problem, "k")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"role": "user", "content": "hi"}], id="text"),
        pytest.param([{"role": "user", "content": " "}], id="a space"),
        pytest.param([{"role": "user", "content": [TEXT]}], id="parts"),
        pytest.param([{"role": role, "content": "x"} for role in ("system", "user", "assistant", "tool")], id="roles"),
        pytest.param([{"role": "assistant", "content": None}], id="an answer that is a tool call"),
        pytest.param([{"role": "assistant"}], id="or has no content at all"),
        pytest.param([{"role": "assistant", "content": ""}], id="or an empty one"),
        pytest.param([{"role": "user", "content": "hi", "name": "n", "partial": True}], id="further keys"),
    ],
)
def test_messages_that_the_platform_takes_pass(messages: object) -> None:
    check_messages(msgspec.Raw(msgspec.json.encode(messages)))


@pytest.mark.parametrize("role", ["developer", "User", "", "function"])
def test_a_role_that_the_platform_does_not_know_is_refused(role: str) -> None:
    expected = "has a message 2 whose role is none of system, user, assistant, tool"
    assert problem_of([{"role": "user", "content": "hi"}, {"role": role, "content": "hi"}]) == expected


@pytest.mark.parametrize("role", ["system", "user"])
@pytest.mark.parametrize("message", [{"content": ""}, {"content": []}, {"content": None}, {}])
def test_an_empty_content_is_refused(role: str, message: dict[str, object]) -> None:
    assert problem_of([{"role": role, **message}]) == EMPTY


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_an_empty_list_of_parts_is_refused_for_any_role(role: str) -> None:
    assert problem_of([{"role": role, "content": []}]) == EMPTY


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
@pytest.mark.parametrize("url", ["ms://file_1", "data:image/png;base64,iVBORw0KGgo="])
def test_media_that_the_platform_has_or_gets_pass(kind: str, url: str) -> None:
    for given in (url, {"url": url}):
        part = {"type": kind, kind: given}
        check_messages(msgspec.Raw(msgspec.json.encode([{"role": "user", "content": [TEXT, part]}])))


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        pytest.param({"url": "https://x.example/TOPSECRET.png"}, "is a public http(s) address, which", id="https"),
        pytest.param("HTTP://x.example/TOPSECRET.png", "is a public http(s) address, which", id="http"),
        pytest.param({"url": "/data/TOPSECRET.png"}, "is neither a data: URL nor an ms:// file", id="path"),
        pytest.param({"url": None}, "has no url", id="null"),
        pytest.param({}, "has no url", id="no url"),
        pytest.param(None, "has no url", id="nothing"),
    ],
)
def test_media_that_the_platform_would_not_fetch_are_refused_without_their_address(
    kind: str, given: object, problem: str
) -> None:
    part = {"type": kind, kind: given}
    detail = problem_of([{"role": "user", "content": "hi"}, {"role": "user", "content": [TEXT, part]}])
    assert detail.startswith(f"has an {kind} in message 2 that {problem}")
    assert "TOPSECRET" not in detail


@pytest.mark.parametrize("url", ["ms://x", "data:,"])
def test_an_address_that_the_platform_reads_has_no_problem(url: str) -> None:
    assert media_url_problem(url) is None
