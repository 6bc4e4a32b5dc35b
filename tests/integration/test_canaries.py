"""A key, a prompt and an answer that nobody may find in logs and errors, also at DEBUG and without Airflow's masks."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.conftest import Connect
from tests.support.canaries import ANSWER, KEY, ORGANIZATION, PROMPT, SECRETS, found_in, printed
from tests.support.every_call import ASYNC_CALLS, CALLS, call_async
from tests.support.raw_server import connect_to, raw_server, reply
from tests.support.rounds import BROKEN, QUICK, job
from tests.support.tasks import run_to_end

LOGGERS = ("", "openai", "httpx", "httpx2", "httpcore", "httpcore2", "airflow_provider_kimi", "asyncio")


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Airflow logs at DEBUG, in a process that has made no client yet."""
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS[1:]:
        logging.getLogger(name).setLevel(logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


MESSAGES = [{"role": "user", "content": PROMPT}]


def ask(hook: KimiHook, call: str) -> None:
    """Make a call, whose body holds the prompt if it can."""
    if call == "estimate_tokens":
        hook.estimate_tokens(MESSAGES)
    elif call == "achat":
        asyncio.run(_chat(hook))
    else:
        asyncio.run(call_async(hook, call)) if call in ASYNC_CALLS else CALLS[call](hook)


async def _chat(hook: KimiHook) -> None:
    try:
        await hook.achat({"model": "kimi-k2.6", "messages": MESSAGES})
    finally:
        await hook.aclose()


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No", "404 No", "429 Slow", "500 Broken", "200 OK"])
@pytest.mark.parametrize("call", [*CALLS, *ASYNC_CALLS])
def test_no_error_and_no_log_at_debug_holds_a_key_an_organization_or_a_prompt(
    monkeypatch: pytest.MonkeyPatch, everything: pytest.LogCaptureFixture, call: str, status: str
) -> None:
    said = f"'{PROMPT}' of <{ORGANIZATION}> is refused for {KEY}, which is {KEY[:7]}***{KEY[-4:]}"
    body = f'{{"error": {{"type": "invalid_request_error", "message": "{said}"}}}}'.encode()
    body = body if status[0] != "2" else body[:-3]
    answer = reply(body, status, msh_org_id=ORGANIZATION, set_cookie=KEY)
    with raw_server(lambda _: [answer]) as server:
        hook = connect_to(monkeypatch, server.base_url)
        fields = {"conn_type": "kimi", "host": server.base_url, "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_KIMI_DEFAULT", json.dumps(fields))
        try:
            ask(hook, call)
            shown = ""
        except KimiError as error:
            shown = printed(error)
        assert f"Bearer {KEY}".encode() in server.requests[0]
    shown += everything.text + repr(hook) + repr(hook.settings)
    sends_prompt = call in ("estimate_tokens", "achat")
    for canary in (KEY, "6789", ORGANIZATION, *((PROMPT, PROMPT[:20]) if sends_prompt else ())):
        assert canary not in shown, shown[max(shown.find(canary) - 300, 0) : shown.find(canary) + 100]


def test_nothing_that_holds_the_key_shows_it(connect: Connect) -> None:
    with KimiSimulator(api_key=KEY) as sim:
        hook = connect(sim)
        trigger = KimiBatchTrigger(batch_ids=["batch_1"])
        holders = [hook, hook.settings, hook.get_conn(), trigger, vars(trigger), trigger.serialize()]
        assert hook.list_models()
        holders += [vars(hook), asyncio.run(_borrowed(hook))]
        hook.close()
    assert hook.settings.api_key == KEY
    assert not found_in("".join(f"{each!r} {each!s}" for each in holders), SECRETS)


async def _borrowed(hook: KimiHook) -> str:
    """What the async client shows while a hook holds it."""
    try:
        return f"{await hook.aget_conn()!r} {vars(hook)!r}"
    finally:
        await hook.aclose()


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_with_rounds_and_chat_calls_logs_no_row_and_no_answer(
    connect: Connect,
    tmp_path: Path,
    everything: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    deferrable: bool,
) -> None:
    def answer(request: Mapping[str, Any]) -> Answer | RowError:
        return BROKEN if request["custom_id"] == "r1" else Answer(ANSWER)

    with KimiSimulator(api_key=KEY, speed=50, timing=QUICK, responder=answer) as sim:
        connect(sim)
        said = f"the message '{PROMPT} review 1' is refused"
        sim.inject("chat", status=400, error_type="invalid_request_error", message=said, times=None)
        small: dict[str, Any] = {"min_batch_rows": 5, "allow_realtime": True, "prompt": PROMPT + " {text}"}
        attempt = run_to_end(job(tmp_path, sim=sim, deferrable=deferrable, **small))
        assert [call.name for call in sim.journal].count("chat") == 1
    captured = capsys.readouterr()
    shown = everything.text + captured.out + captured.err + repr(attempt.value) + repr(attempt.ti.xcoms)
    assert "batch_" in shown
    assert not [canary for canary in (KEY, PROMPT, "review 1", ANSWER) if canary in shown]
