"""What a further round asks of a row whose answer was refused."""

import json
from typing import Any

import pytest

from airflow_provider_kimi.records.rows import Row
from airflow_provider_kimi.results.asking_again import asked_again

REFUSED = Row(custom_id="a", status="invalid", error_code="check", error_message="too short")


@pytest.mark.parametrize("content", [None, "", "hi", [{"type": "text", "text": "hi"}]])
def test_the_reason_of_a_refusal_is_behind_what_the_user_said_and_replaces_nothing(content: Any) -> None:
    messages = [{"role": "system", "content": "Label."}, {"role": "user", "content": content}]
    asked = asked_again(REFUSED, json.dumps({"custom_id": "a", "body": {"messages": messages}}).encode(), 1)
    assert asked is not None
    system, user = json.loads(asked)["body"]["messages"]
    assert system == messages[0]
    text = user["content"] if isinstance(user["content"], str) else "".join(part["text"] for part in user["content"])
    assert text.startswith("hi" if content else "\n\nAn earlier answer")
    assert "too short" in text
