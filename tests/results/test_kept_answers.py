"""Answers that are kept until the result is accepted."""

import json

from airflow_provider_kimi.results.kept_answers import KeptAnswers


def test_of_equal_requests_the_first_answer_is_kept_once() -> None:
    kept = KeptAnswers("https://api.moonshot.cn/v1")
    for number, asked in enumerate(["a", "b", "a", "a"]):
        kept.add(json.dumps({"body": {"text": asked}}).encode(), json.dumps({"response": number}).encode())
    assert [answer for _, answer in kept.each()] == [b"0", b"1"]
    assert kept.count == 2
