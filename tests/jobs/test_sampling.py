"""What is in the requests of a job, and which of them the platform counts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_kimi.api.catalogue import DEFAULT_OUTPUT_CAP
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.jobs.estimate import Asked, prompt_tokens
from airflow_provider_kimi.jobs.sampling import count_sample, survey
from airflow_provider_kimi.requests.spool import Slice, Spool
from airflow_provider_kimi.simulator import KimiSimulator
from tests.conftest import Connect
from tests.support.logs import LogRecord
from tests.support.requests import no_pause

OFF = {"thinking": {"type": "disabled"}}


def asking(*contents: Any, **parameters: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content} for content in contents]
    return {"model": "kimi-k2.6", "messages": messages, **parameters}


def stored(folder: Path, bodies: Sequence[dict[str, Any]], shards: int = 1) -> list[Slice]:
    with Spool(folder / "requests.jsonl") as spool:
        for number, body in enumerate(bodies):
            line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            spool.write(json.dumps(line, ensure_ascii=False).encode())
    size = len(bodies) // shards
    return [spool.slice_of(range(shard * size, (shard + 1) * size)) for shard in range(shards)]


def test_a_survey_weighs_the_texts_of_messages_and_nothing_else(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    found = survey(
        stored(
            tmp_path,
            [
                asking("abc", "好"),
                asking([picture, {"type": "text", "text": "abcd"}]),
                asking("ab", tools=[{"a": 1}], response_format={"type": "json_object"}),
                {"model": "kimi-k2.6", "messages": [{"role": "assistant", "content": None}]},
            ],
        )
    )
    assert list(found.ends) == [38, 58, 76, 92]
    assert (found.rows, found.weight) == (4, 92)
    assert found.uncounted_bytes == len('[{"a": 1}]') + len('{"type": "json_object"}')
    assert not found.has_uploads


def test_a_survey_counts_the_kinds_of_answers(tmp_path: Path) -> None:
    bodies = [
        asking("a"),
        asking("a", max_completion_tokens=16, **OFF),
        asking("a", max_tokens=16, **OFF),
        asking("a", max_tokens=16, max_completion_tokens=32, **OFF),
        asking("a", max_tokens="16", max_completion_tokens=True),
        asking("a", max_tokens=None, thinking=None),
        asking("a", max_tokens=0, thinking="disabled"),
    ]
    assert survey(stored(tmp_path, bodies)).asked == {
        Asked(DEFAULT_OUTPUT_CAP, True): 4,
        Asked(16, False): 2,
        Asked(32, False): 1,
    }


def test_a_prompt_that_is_most_of_an_input_is_in_every_sample(connect: Connect, tmp_path: Path) -> None:
    with KimiSimulator(speed=0) as sim:
        calls = Calls(connect(sim), LogRecord(), no_pause)
        for number in range(5):
            bodies = [asking(f"{number} {place}") for place in range(199)] + [asking("好" * 20_000)]
            contents = stored(tmp_path, bodies, shards=2)
            counted = count_sample(calls, contents, survey(contents), "kimi-k2.6")
            assert len(counted) == 30
            assert max(each.weight for each in counted) == 60_016


def test_a_sample_is_drawn_from_every_shard_and_again_the_same(connect: Connect, tmp_path: Path) -> None:
    bodies = [asking("a" * (place + 1)) for place in range(400)]
    with KimiSimulator(speed=0) as sim:
        calls = Calls(connect(sim), LogRecord(), no_pause)
        contents = stored(tmp_path, bodies, shards=4)
        found = survey(contents)
        first, second = (count_sample(calls, contents, found, "kimi-k2.6") for _ in range(2))
    assert first == second
    assert {(each.weight - 17) // 100 for each in first} == {0, 1, 2, 3}


def test_thirty_requests_are_each_counted_once(connect: Connect, tmp_path: Path) -> None:
    bodies = [asking("a" * place) for place in range(1, 31)]
    with KimiSimulator(speed=0) as sim:
        calls = Calls(connect(sim), LogRecord(), no_pause)
        contents = stored(tmp_path, bodies)
        found = survey(contents)
        counted = count_sample(calls, contents, found, "kimi-k2.6")
    assert [each.weight for each in counted] == [16 + place for place in range(1, 31)]
    truth = sum(4 + place // 3 for place in range(1, 31))
    assert prompt_tokens(counted, 30, found.weight) == (truth, truth, truth)
