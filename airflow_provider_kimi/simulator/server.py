"""`KimiSimulator`: the simulated platform on a loopback port, for Python code."""

import asyncio
import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import uvicorn

from airflow_provider_kimi.simulator.answers import Responder
from airflow_provider_kimi.simulator.app import Call, SimulatorApp
from airflow_provider_kimi.simulator.behaviour import Behaviour, Clock, Timing
from airflow_provider_kimi.simulator.faults import CallName, Fault
from airflow_provider_kimi.simulator.labels import label_answer
from airflow_provider_kimi.simulator.lifecycle import BatchRecord
from airflow_provider_kimi.simulator.platform import Platform

#: Longest time that calls which are being answered keep the simulator from ending.
GRACE_SECONDS = 1.0


class _Server(uvicorn.Server):
    """Ends at once. Uvicorn asks itself ten times a second whether to end, and a thousand tests would wait for that."""

    _loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Ask it to end, from another thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        self._ending = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        if not self.should_exit:
            await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)  # lets the idle ones close
        if tasks := set(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()


class KimiSimulator:
    """A Kimi platform on loopback, for tests, demos and trying things out.

    Use it as a context manager: ``with KimiSimulator() as sim: ...``.

    :param port: TCP port; 0 picks a free one.
    :param api_key: The key it accepts.
    :param speed: Simulated seconds per real second; 0 stops the clock, so that only `advance` moves it.
    :param timing: How long batches stay in each state.
    :param behaviour: What the platform does where its documentation leaves it open.
    :param responder: What the model answers; None labels by word lists.
    :param balance: Money on the account.
    :param other_keys: Further keys of the same organization.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        api_key: str = "sk-simulator",
        speed: float = 1.0,
        timing: Timing | None = None,
        behaviour: Behaviour | None = None,
        responder: Responder | None = None,
        balance: float = 1000.0,
        other_keys: Sequence[str] = (),
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))  # first: nothing to clean up if the port is taken
        self._port = self._socket.getsockname()[1]
        self._platform = Platform(
            Clock(speed), behaviour or Behaviour(), timing or Timing(), responder or label_answer, balance
        )
        self._app = SimulatorApp(self._platform, (api_key, *other_keys))
        config = uvicorn.Config(self._app, log_level="critical", lifespan="off", ws="none", date_header=False)
        self._server = _Server(config)
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The host of a connection."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def api_key(self) -> str:
        """The password of a connection."""
        return self._app.keys[0]

    def top_up(self, yuan: float) -> None:
        """Put money on the account."""
        self._platform.balance += yuan

    @property
    def journal(self) -> list[Call]:
        """Every call received so far, in order of arrival."""
        return self._app.journal

    @property
    def batches(self) -> Mapping[str, BatchRecord]:
        """Every batch created so far, by id."""
        self._app.late_calls.carry_out()
        return self._platform.batches

    @property
    def chat_usage(self) -> Mapping[str, int]:
        """What chat calls were answered: `calls`, `prompt_tokens` and `completion_tokens`."""
        return dict(self._platform.chat_usage)

    def status(self, batch_id: str) -> str:
        """Read a batch's status; the journal does not show it."""
        return self._platform.status(batch_id)

    def file_content(self, file_id: str) -> bytes:
        """Read a stored file's bytes; the journal does not show it."""
        return self._platform.get_file(file_id).path.read_bytes()

    def replace_content(self, file_id: str, content: bytes) -> None:
        """Change a stored file's bytes, for answers that no responder can give."""
        self._platform.get_file(file_id).path.write_bytes(content)

    def file_ids(self, purpose: str) -> list[str]:
        """List the stored files of one purpose, oldest first."""
        return self._platform.file_ids(purpose)

    def now(self) -> float:
        """Simulated unix seconds."""
        return self._platform.clock.now()

    def advance(self, seconds: float) -> None:
        """Move the simulated clock forward."""
        self._app.late_calls.advance(seconds)

    def inject(self, call: CallName, **fault: Any) -> None:
        """Spoil the next calls of one kind; the keywords are the fields of `Fault`."""
        self._app.faults.add(call, Fault(**fault))

    def add_odd_batch(self, shape: Mapping[str, Any]) -> None:
        """Let `GET /batches` show a stranger's batch exactly as given, newest of all, and so `GET /batches/{id}`.

        It may lack an id, or hold what no batch of the simulator has: a null status, a list as its metadata.
        """
        self._platform.add_odd_batch(shape)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.end()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()
        self._platform.close()
