"""A program: waits of one triggerer whose XCom backend is slow. It prints what was seen, as JSON.

The argument says after how many seconds the batches end. The triggers have what Airflow's own triggerer gives them: its
channel to a supervisor, which notes what is pushed. `SLOW_BACKEND_SECONDS` says how long the backend takes for a value.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import msgspec
from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder
from airflow.sdk.execution_time import task_runner

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.support.slow_backend import counts, stored
from tests.support.triggers import created

WAITS = 3


class Supervisor(threading.Thread):
    """Takes what a triggerer sends, and answers each message with nothing."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(daemon=True)
        self.end = end
        self.got: list[dict[str, Any]] = []

    def run(self) -> None:
        while head := self.end.recv(4):
            length = int.from_bytes(head, "big")
            data = b""
            while len(data) < length:
                data += self.end.recv(length - len(data))
            number, body, *_ = msgspec.msgpack.decode(data)
            self.got.append(body)
            answer = msgspec.msgpack.encode([number, None, None])
            self.end.sendall(len(answer).to_bytes(4, "big") + answer)


async def connected(end: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=end)
    comms: Any = TriggerCommsDecoder(socket=end, async_writer=writer, async_reader=reader)
    task_runner.SUPERVISOR_COMMS = comms
    if hasattr(comms, "start_reader"):  # Airflow 3.2 and newer
        await comms.start_reader()


async def longest_lag(until: asyncio.Event) -> float:
    longest = 0.0
    while not until.is_set():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before - 0.01)
    return longest


async def wait(batch_id: str) -> float:
    trigger: Any = KimiBatchTrigger(batch_ids=[batch_id], poll_interval=0.2)
    place = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1, "try_number": 1, "id": "1"}
    trigger.task_instance = SimpleNamespace(**place)
    async for _ in trigger.run():
        return time.monotonic()
    raise AssertionError("no event")


async def seen(
    sim: KimiSimulator, ids: list[str], ends: tuple[socket.socket, socket.socket], seconds: float
) -> dict[str, Any]:
    supervisor = Supervisor(ends[1])
    supervisor.start()
    await connected(ends[0])
    over = asyncio.Event()
    lag = asyncio.create_task(longest_lag(over))
    begun = time.monotonic()
    waits = [asyncio.create_task(wait(batch_id)) for batch_id in ids]
    stopped = asyncio.create_task(wait(ids[0]))  # as by a restart of the triggerer
    await asyncio.sleep(seconds / 2)
    stopped.cancel()
    await asyncio.sleep(seconds / 2)
    polls = len(sim.journal)
    sim.advance(60)
    ended = time.monotonic()
    late = max(await asyncio.gather(*waits)) - ended
    over.set()
    return {
        "lag": await lag,
        "late": late,
        "polls": polls,
        "at_once": counts["most"],
        "on_the_loop": any(on_loop for _, on_loop in stored),
        "begun": [at - begun for at, _ in stored],
        "pushed": [message["key"] for message in supervisor.got if message["type"] == "SetXCom"],
    }


def main() -> None:
    """Run the waits."""
    with KimiSimulator(speed=0) as sim:
        fields = {
            "conn_type": "kimi",
            "host": sim.base_url,
            "password": sim.api_key,
            "extra": {"requests_per_minute": 6000},
        }
        os.environ["AIRFLOW_CONN_KIMI_DEFAULT"] = json.dumps(fields)
        ids = created(KimiHook(), WAITS)
        sim.advance(5)
        print(json.dumps(asyncio.run(seen(sim, ids, socket.socketpair(), float(sys.argv[1])))), flush=True)


if __name__ == "__main__":
    main()
