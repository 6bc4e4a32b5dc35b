"""`python -m airflow_provider_kimi.simulator` as a process."""

import dataclasses
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

import pytest

from airflow_provider_kimi.simulator import Behaviour
from airflow_provider_kimi.simulator.faults import CallName
from tests.simulator.wire import call, create, jsonl, line, lines, refused, submit, upload

if TYPE_CHECKING:
    from openai import OpenAI

COMMAND = [sys.executable, "-m", "airflow_provider_kimi.simulator"]


class Process:
    """A simulator as a process, whose temporary files go into a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [*COMMAND, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert self._process.stdout is not None
        self.first_line = self._process.stdout.readline()
        assert self.first_line, self._process.communicate()[1]
        self.base_url = self.first_line.removeprefix("ready ").strip()

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal; exit code, the other lines printed, and what went to standard error."""
        self._process.send_signal(number)
        printed, errors = self._process.communicate(timeout=10)
        return self._process.returncode, printed, errors

    def kill(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.communicate(timeout=10)


class Run(Protocol):
    """Start the command on a free port, with further options."""

    def __call__(self, *options: str) -> "tuple[Process, OpenAI]": ...


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start the command; whatever still runs after the test is killed."""
    from openai import OpenAI

    running: list[Process] = []

    def started(*options: str) -> "tuple[Process, OpenAI]":
        process = Process(tmp_path, *(() if "--port" in options else ("--port", "0")), *options)
        running.append(process)
        return process, OpenAI(base_url=process.base_url, api_key="sk-simulator", max_retries=0, timeout=20)

    yield started
    for process in running:
        process.kill()


def ended_batch(client: "OpenAI", *rows: object) -> Any:
    """A batch as soon as the process's own clock has ended it."""
    batch_id = submit(client, *rows)
    deadline = time.monotonic() + 10
    while client.batches.retrieve(batch_id).status != "completed" and time.monotonic() < deadline:
        time.sleep(0.02)
    return client.batches.retrieve(batch_id)


class TestTheCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
    def test_the_command_prints_one_line_serves_and_ends_cleanly(self, run: Run, number: signal.Signals) -> None:
        process, client = run()
        assert re.fullmatch(r"ready http://127\.0\.0\.1:\d+/v1\n", process.first_line)
        assert create(client, upload(client)).status == "validating"
        assert [path.name.startswith("kimi-simulator-") for path in process.folder.iterdir()] == [True]
        started = time.monotonic()
        assert process.end(number) == (0, "", "")
        assert time.monotonic() - started < 3
        assert list(process.folder.iterdir()) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
    def test_the_command_ends_as_cleanly_in_the_middle_of_a_call(self, run: Run, number: signal.Signals) -> None:
        process, _ = run("--fault", "list_models:hang")
        connection = http.client.HTTPConnection(process.base_url.split("/")[2], timeout=20)
        connection.request("GET", "/v1/models", headers={"Authorization": "Bearer sk-simulator"})
        assert call(process.base_url, "GET", "/files").status == 200
        started = time.monotonic()
        assert process.end(number) == (0, "", "")
        assert time.monotonic() - started < 4
        assert list(process.folder.iterdir()) == []
        connection.close()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
    def test_the_command_ends_as_cleanly_the_moment_it_is_ready(self, run: Run, number: signal.Signals) -> None:
        process, _ = run()
        assert process.end(number) == (0, "", "")
        assert list(process.folder.iterdir()) == []

    def test_the_help_explains_every_option_call_and_switch(self) -> None:
        shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=30, check=True)
        for option in (
            "--port",
            "--other-key",
            "--speed",
            "--latency",
            "--working",
            "--fail-rows",
            "--balance",
            "--set",
            "--fault",
        ):
            assert option in shown.stdout
        for name in (*get_args(CallName), "drop", "hang", "late=SECONDS", "trickle=SECONDS", "cut=BYTES"):
            assert name in shown.stdout
        switches = re.findall(r"^  (\w+)=\S*\n      \S", shown.stdout, re.MULTILINE)
        assert switches == [field.name for field in dataclasses.fields(Behaviour)]

    def test_the_command_listens_on_the_given_port_and_says_so_if_it_cannot(self, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            refusal = subprocess.run(
                [*COMMAND, "--port", port], capture_output=True, text=True, timeout=30, check=False
            )
        assert (refusal.returncode, refusal.stdout) == (2, "")
        assert f"cannot listen on port {port}: " in refusal.stderr
        assert "Traceback" not in refusal.stderr
        process, client = run("--port", port)
        assert process.base_url == f"http://127.0.0.1:{port}/v1"
        assert client.models.list().data


class TestItsOptions:
    def test_speed_and_stage_times_move_a_batch(self, run: Run) -> None:
        _, client = run("--speed", "500", "--validating", "10", "--working", "40", "--finalizing", "5")
        batch = ended_batch(client)
        assert batch.in_progress_at - batch.created_at == 10
        assert batch.completed_at - batch.created_at == 55

    def test_fail_rows_and_drop_rows_spoil_the_first_rows_and_no_chat(self, run: Run) -> None:
        _, client = run("--speed", "500", "--fail-rows", "2", "--drop-rows", "3")
        answer = client.chat.completions.create(model="kimi-k2.6", messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].message.content
        batch = ended_batch(client, *lines(10))
        assert batch.request_counts.to_dict() == {"total": 10, "completed": 5, "failed": 2}
        errors = client.files.content(batch.error_file_id).text
        assert '"row-0"' in errors
        assert '"row-1"' in errors
        assert '"row-5"' in client.files.content(batch.output_file_id).text

    def test_spoilt_rows_are_answered_after_so_many_times(self, run: Run) -> None:
        _, client = run("--speed", "500", "--fail-rows", "2", "--drop-rows", "3", "--spoil-times", "1")
        counts = [ended_batch(client, *lines(10)).request_counts.completed for _ in range(2)]
        assert counts == [5, 10]

    def test_set_changes_switches_of_every_kind(self, run: Run) -> None:
        switches = ("success_status_code=", "shuffle_output=false", "final_newline=false", "error_shape=text")
        others = ("max_list_limit=1", "batch_models=kimi-k8,kimi-k9", "cancel_again_status=200", "list_lag_seconds=0.5")
        process, client = run("--speed", "500", *(part for each in switches + others for part in ("--set", each)))
        batch = ended_batch(client, *lines(3, {"model": "kimi-k9"}))
        content = client.files.content(batch.output_file_id).read()
        assert [row.split(b'"')[3] for row in content.split(b"\n")] == [b"row-0", b"row-1", b"row-2"]
        assert b"status_code" not in content
        submit(client)
        assert len(call(process.base_url, "GET", "/batches?limit=100").json()["data"]) == 1

    def test_faults_come_as_scripted(self, run: Run) -> None:
        faults = ("create_batch:429*2", "list_models:504", "list_files:drop", "download_file:cut=3", "chat:503")
        process, client = run(*(part for fault in faults for part in ("--fault", fault)))
        file_id = upload(client, jsonl(line()))
        for _ in range(2):
            assert refused(lambda: create(client, file_id))[:2] == (429, "rate_limit_reached_error")
        assert create(client, file_id).status == "validating"
        reply = call(process.base_url, "GET", "/models")
        assert (reply.status, reply.body[:6]) == (504, b"<html>")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            call(process.base_url, "GET", "/files")
        with pytest.raises(http.client.IncompleteRead):
            call(process.base_url, "GET", f"/files/{file_id}/content")
        assert call(process.base_url, "POST", "/chat/completions", {}).error[:2] == (503, "server_unavailable")

    def test_a_trickled_answer_takes_its_time(self, run: Run) -> None:
        process, _ = run("--fault", "get_balance:trickle=0.002")
        started = time.monotonic()
        assert call(process.base_url, "GET", "/users/me/balance").status == 200
        assert time.monotonic() - started > 0.3

    def test_a_late_create_comes_after_its_504(self, run: Run) -> None:
        _, client = run("--speed", "600", "--fault", "create_batch:late=60")
        assert refused(lambda: submit(client))[0] == 504
        deadline = time.monotonic() + 10
        while not client.batches.list().data and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(client.batches.list().data) == 1

    def test_other_key_adds_a_key(self, run: Run) -> None:
        process, _ = run("--other-key", "sk-one", "--other-key", "sk-two")
        for key, status in (("sk-simulator", 200), ("sk-one", 200), ("sk-two", 200), ("sk-three", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert call(process.base_url, "GET", "/models", headers=headers).status == status

    def test_balance_and_latency_are_options(self, run: Run) -> None:
        process, _ = run("--balance", "2.5", "--latency", "0.2", "--fault", "get_file:500")
        started = time.monotonic()
        data = call(process.base_url, "GET", "/users/me/balance").json()["data"]
        assert time.monotonic() - started >= 0.2
        assert data["available_balance"] == 2.5
        assert [call(process.base_url, "GET", "/files/x").status for _ in range(2)] == [500, 404]

    @pytest.mark.parametrize(
        ("option", "value", "reason"),
        [
            ("--fault", "create:500", "'create' is not a call; use one of upload_file, "),
            ("--fault", "create_batch:boom", "'create_batch:boom' is not CALL:KIND[*TIMES]"),
            ("--fault", "create_batch:99", "'create_batch:99' is not"),
            ("--fault", "create_batch:500*x", "'create_batch:500*x' is not"),
            ("--fault", "create_batch:late=", "'create_batch:late=' is not"),
            ("--fault", "download_file:cut=x", "'download_file:cut=x' is not"),
            ("--set", "colour=red", "'colour' is not a switch; use one of success_status_code, "),
            ("--set", "shuffle_output", "shuffle_output cannot be ''; use one of true, false"),
            ("--set", "error_shape=round", "use one of error, type, text, response, empty"),
            ("--set", "max_list_limit=", "'' is not a number"),
            ("--port", "70000", "cannot listen on port 70000"),
        ],
    )
    def test_an_option_that_makes_no_sense_is_refused_in_a_sentence(self, option: str, value: str, reason: str) -> None:
        refusal = subprocess.run([*COMMAND, option, value], capture_output=True, text=True, timeout=30, check=False)
        assert (refusal.returncode, refusal.stdout) == (2, "")
        assert reason in refusal.stderr
        assert "Traceback" not in refusal.stderr
